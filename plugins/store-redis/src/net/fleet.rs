//! All servers: a batch of requests goes to the masters of its keys, each master's in one piece, and each request has an answer
//! of its own.

use super::address::Address;
use super::connector::{Connector, SYSTEM, Wanted};
use super::fault::{Class, Fault};
use super::map::Map;
use super::node::Node;
use super::report::Faults;
use super::resolve::resolve;
use crate::scripts::Script;
use arc_swap::ArcSwap;
use futures::future::join_all;
use hydra_api::Metric;
use hydra_remote::{Cause, InUse};
use redis::{Cmd, Pipeline, Value};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often a request is sent again to another master.
const ROUNDS_MAX: usize = 5;
/// How often the masters are looked for, at most.
const RESOLVE_PACE: Duration = Duration::from_millis(500);
/// The store and this many searches for the masters, of which each ends within its time limits.
const STATES_MAX: usize = 4;
/// Nodes that are taking slots over and have none yet: more than a cluster moves slots to at a time.
const JOINING_LEN_MAX: usize = 64;
/// How long to wait for keys that are on their way.
const TRY_AGAIN_PAUSE: Duration = Duration::from_millis(20);

/// The servers of one store.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub(crate) connector: Arc<Connector>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    map: ArcSwap<Map>,
    /// Nodes without a slot that others have named. They are kept, so that one that does not answer is noted once and not asked by
    /// every call.
    joining: Mutex<VecDeque<Arc<Node>>>,
    /// True if the map may be wrong.
    is_stale: AtomicBool,
    resolved_at: Mutex<Instant>,
    /// Those of some keys, as they were logged.
    faults: Faults,
    /// The last one of some keys.
    in_part: Mutex<Option<Fault>>,
}

/// A command for the master of one slot. Sending it twice must do no harm.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) slot: u16,
    pub(crate) command: Cmd,
    /// The script that the command runs.
    pub(crate) script: Option<&'static Script>,
}

/// Where a request goes next.
struct Hop {
    /// Its place in the batch.
    at: usize,
    /// To a master that has not got the slot yet.
    asking: Option<Arc<Node>>,
    loads_script: bool,
}

impl Fleet {
    /// Finds the masters and connects to one.
    pub(crate) async fn open(connector: Connector) -> Result<Self, Fault> {
        let connector = Arc::new(connector);
        let map = resolve(&connector, &Map::default()).await?;
        let state = State {
            map: ArcSwap::from_pointee(map),
            joining: Mutex::default(),
            is_stale: AtomicBool::new(false),
            resolved_at: Mutex::new(Instant::now()),
            faults: Faults::default(),
            in_part: Mutex::default(),
        };
        Ok(Self { connector, state: Arc::new(state) })
    }

    /// The masters.
    pub(crate) fn nodes(&self) -> Vec<Arc<Node>> {
        self.state.map.load().nodes.clone()
    }

    /// The master of a slot.
    pub(crate) fn node(&self, slot: u16) -> Option<Arc<Node>> {
        self.state.map.load().node(slot).cloned()
    }

    /// True if the slots have masters of their own: then a transaction has one slot.
    pub(crate) fn is_cluster(&self) -> bool {
        self.state.map.load().is_cluster()
    }

    /// Takes up what a fault says of the masters, after a transaction; true if it may be sent again at once.
    pub(crate) fn heeds(&self, fault: &Fault) -> bool {
        let hop = Hop { at: 0, asking: None, loads_script: true };
        self.next(&hop, fault).is_some_and(|next| next.asking.is_none())
    }

    /// True if this fault is that of a part of the servers: another one answers.
    pub(crate) fn is_in_part(&self, fault: &Fault) -> bool {
        let nodes = &self.state.map.load().nodes;
        fault.class.is_of_a_part() && nodes.len() > 1 && nodes.iter().any(|node| node.is_up())
    }

    /// Logs a fault of which the caller learns only that some keys are unknown, unless the log has had it lately.
    pub(crate) fn log_in_part(&self, fault: &Fault) {
        *self.state.in_part.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault.clone());
        if !fault.pauses_server() && self.state.faults.is_news(fault.class.name(), Instant::now()) {
            tracing::warn!(cause = %fault, "some keys in Redis cannot be read or written");
        }
    }

    /// The last such fault.
    pub(crate) fn in_part(&self) -> Option<Fault> {
        self.state.in_part.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends each request to the master of its slot. There is one answer for each, in their order.
    ///
    /// # Cancel safety
    /// Requests of a dropped future may or may not be carried out.
    pub(crate) async fn send(&self, requests: &[Request]) -> Vec<Result<Value, Fault>> {
        let mut answers: Vec<Option<Result<Value, Fault>>> = requests.iter().map(|_| None).collect();
        let mut hops: Vec<Hop> =
            (0..requests.len()).map(|at| Hop { at, asking: None, loads_script: false }).collect();
        for round in 0..ROUNDS_MAX {
            if hops.is_empty() {
                break;
            }
            self.resolve_if_stale();
            let mut again = Vec::new();
            let mut pause = false;
            for (hop, answer) in self.round(requests, hops, &mut answers).await {
                match answer {
                    Err(fault) if round + 1 < ROUNDS_MAX => match self.next(&hop, &fault) {
                        Some(next) => {
                            pause |= fault.class == Class::TryAgain;
                            again.push(next);
                        }
                        None => answers[hop.at] = Some(Err(fault)),
                    },
                    answer => answers[hop.at] = Some(answer),
                }
            }
            if pause {
                tokio::time::sleep(TRY_AGAIN_PAUSE).await;
            }
            hops = again;
        }
        let missing = || Err(Fault::nobody("no master was found"));
        answers.into_iter().map(|answer| answer.unwrap_or_else(missing)).collect()
    }

    /// One request.
    pub(crate) async fn ask(&self, request: Request) -> Result<Value, Fault> {
        let mut answers = self.send(std::slice::from_ref(&request)).await;
        answers.pop().unwrap_or_else(|| Err(Fault::nobody("no master was found")))
    }

    /// Sends the requests to their nodes at once.
    async fn round(
        &self,
        requests: &[Request],
        hops: Vec<Hop>,
        answers: &mut [Option<Result<Value, Fault>>],
    ) -> Vec<(Hop, Result<Value, Fault>)> {
        let map = self.state.map.load_full();
        let mut groups: Vec<(Arc<Node>, Vec<Hop>)> = Vec::new();
        for hop in hops {
            let node = hop.asking.as_ref().or_else(|| map.node(requests[hop.at].slot));
            let Some(node) = node.cloned() else {
                self.state.is_stale.store(true, Ordering::Release);
                let fault = Fault::unserved(requests[hop.at].slot);
                self.connector.meter.failed(fault.class.name());
                answers[hop.at] = Some(Err(fault));
                continue;
            };
            match groups.iter_mut().find(|(of, _)| Arc::ptr_eq(of, &node)) {
                Some((_, group)) => group.push(hop),
                None => groups.push((node, vec![hop])),
            }
        }
        let sent = groups.into_iter().map(|(node, hops)| group(node, requests, hops));
        join_all(sent).await.into_iter().flatten().collect()
    }

    /// Where a request goes after this error; none if the error is its answer.
    fn next(&self, hop: &Hop, fault: &Fault) -> Option<Hop> {
        let again = Hop { at: hop.at, asking: None, loads_script: false };
        match &fault.class {
            Class::Moved(slot, to) => {
                self.state.is_stale.store(true, Ordering::Release);
                self.state.map.rcu(|map| map.with(*slot, to, &self.connector));
                Some(again)
            }
            Class::Ask(to) => {
                let node = self.state.map.load().find(to);
                let node = node.unwrap_or_else(|| self.state.joining(to, &self.connector));
                Some(Hop { asking: Some(node), ..again })
            }
            Class::TryAgain => Some(Hop { asking: hop.asking.clone(), ..again }),
            Class::NoScript if !hop.loads_script => {
                Some(Hop { loads_script: true, asking: hop.asking.clone(), ..again })
            }
            // Another server may have become the master, also while the one of before loads its data.
            Class::Connection | Class::Timeout | Class::ClusterDown | Class::ReadOnly | Class::Loading => {
                self.state.is_stale.store(true, Ordering::Release);
                None
            }
            Class::NoScript
            | Class::OutOfMemory
            | Class::Misconfigured
            | Class::Busy
            | Class::Login
            | Class::Forbidden
            | Class::UnknownCommand
            | Class::Other => None,
        }
    }

    /// Looks for the masters if they may have changed, at a pace and beside the calls: these go on with what is known.
    fn resolve_if_stale(&self) {
        if !self.state.is_stale.load(Ordering::Acquire) {
            return;
        }
        {
            let mut resolved_at = self.state.resolved_at.lock().unwrap_or_else(PoisonError::into_inner);
            if resolved_at.elapsed() < RESOLVE_PACE || Arc::strong_count(&self.state) > STATES_MAX {
                return;
            }
            *resolved_at = Instant::now();
        }
        self.state.is_stale.store(false, Ordering::Release);
        let Self { connector, state } = self.clone();
        drop(tokio::spawn(async move { state.resolve(&connector).await }));
    }

    /// What is counted of the commands and the connections, and how many of the masters answer.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let nodes = self.nodes();
        let mut connections = InUse::default();
        for node in &nodes {
            let InUse { idle, used, max } = node.in_use();
            connections.idle += idle;
            connections.used += used;
            connections.max += max;
        }
        let up = nodes.iter().filter(|node| node.is_up()).count();
        let servers = |state, servers: usize| {
            let help =
                "Masters by state: up, or down for a moment after a failure, while single calls probe them.";
            Metric::gauge("db_servers", help, servers as f64)
                .with("state", state)
                .with("db_system_name", SYSTEM)
        };
        let mut metrics = self.connector.meter.metrics(connections);
        metrics.extend([servers("up", up), servers("down", nodes.len() - up)]);
        metrics
    }

    /// Closes the connections.
    pub(crate) fn close(&self) {
        self.state.map.load().nodes.iter().for_each(|node| node.close(Cause::Dropped));
        self.state.joining_nodes().iter().for_each(|node| node.close(Cause::Dropped));
    }
}

impl State {
    fn joining_nodes(&self) -> MutexGuard<'_, VecDeque<Arc<Node>>> {
        self.joining.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node that takes a slot over and has none yet.
    fn joining(&self, address: &Address, connector: &Arc<Connector>) -> Arc<Node> {
        let mut nodes = self.joining_nodes();
        if let Some(node) = nodes.iter().find(|node| node.address == *address) {
            return Arc::clone(node);
        }
        if nodes.len() >= JOINING_LEN_MAX {
            nodes.pop_front();
        }
        let node = Node::new(address.clone(), Wanted::Master, connector);
        nodes.push_back(Arc::clone(&node));
        node
    }

    async fn resolve(&self, connector: &Arc<Connector>) {
        let before = self.map.load_full();
        match resolve(connector, &before).await {
            Ok(map) => {
                for gone in before.nodes.iter().filter(|node| map.find(&node.address).is_none()) {
                    gone.close(Cause::Lost);
                }
                self.map.store(Arc::new(map));
            }
            Err(fault) => {
                tracing::debug!(%fault, "cannot find the masters");
                self.is_stale.store(true, Ordering::Release);
            }
        }
    }
}

/// Sends one node's requests in one piece.
async fn group(node: Arc<Node>, requests: &[Request], hops: Vec<Hop>) -> Vec<(Hop, Result<Value, Fault>)> {
    let mut pipeline = Pipeline::with_capacity(hops.len());
    let (mut len, mut loaded): (usize, Vec<&Script>) = (0, Vec::new());
    // The places of the replies that count.
    let mut places = Vec::with_capacity(hops.len());
    for hop in &hops {
        let request = &requests[hop.at];
        if let Some(script) = request.script.filter(|_| hop.loads_script)
            && !loaded.iter().any(|loaded| std::ptr::eq(*loaded, script))
        {
            loaded.push(script);
            pipeline.add_command(script.load());
            len += 1;
        }
        if hop.asking.is_some() {
            pipeline.add_command(redis::cmd("ASKING"));
            len += 1;
        }
        pipeline.add_command(request.command.clone());
        places.push(len);
        len += 1;
    }
    match node.exchange(&pipeline, len).await {
        Err(fault) => hops.into_iter().map(|hop| (hop, Err(fault.clone()))).collect(),
        Ok(mut replies) => {
            let answer = |(hop, place): (Hop, usize)| {
                let answer = match replies.get_mut(place).map(std::mem::take) {
                    Some(Value::ServerError(error)) => {
                        let fault = Fault::of_reply(&error, &node.address);
                        if fault.class == Class::ReadOnly {
                            // A new connection finds out what the server is now.
                            node.close(Cause::ReadOnly);
                        }
                        Err(fault)
                    }
                    Some(value) => Ok(value),
                    None => Err(Fault::new(Class::Other, &node.address, "a reply is missing")),
                };
                (hop, answer)
            };
            hops.into_iter().zip(places).map(answer).collect()
        }
    }
}

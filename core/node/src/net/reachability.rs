//! Finds out whether others can reach the heads: has peers of the table test the addresses that each head advertises.
//!
//! AutoNAT v2 tests addresses of the peer that asks, so each head asks for itself. The heads take turns: all of them
//! together ask [`PACE`] apart, so that a node with many heads burdens nobody with all of them at once.

mod report;
mod servers;

pub(crate) use report::{Outcome, Report, in_words};

use crate::net::autonat::{CheckError, Servers, Verdict};
use crate::net::heads::{Head, HeadList, Way};
use crate::net::routing::lookup::Contact;
use crate::net::routing::network::Network;
use crate::net::routing::table::{Server, Table};
use crate::net::supervise::Phase;
use futures::stream::{self, StreamExt};
use libp2p::{Multiaddr, PeerId};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// From one request to a server to the next, over all heads: a thousand heads with two addresses each are tested in about
/// a quarter of an hour.
const PACE: Duration = Duration::from_millis(500);
/// Tests under way at a time.
const PARALLEL: usize = 32;
/// Servers that have to fail to reach an address before it counts as unreachable: one may be wrong, or lie.
const UNREACHABLE_MIN: usize = 3;
/// Servers that are asked about an address in a round.
const ASKED_MAX: usize = 8;
/// Intervals after which a result counts no more, if no test had another one since.
const RESULT_INTERVALS: u32 = 3;
/// The pause before the first round, and before another one while nobody could be asked; doubled each time.
const PAUSE: Duration = Duration::from_secs(10);

/// Asks servers for tests, really or not.
pub(crate) trait Ask: fmt::Debug + Send + Sync + 'static {
    /// Has a server test an address of a head.
    ///
    /// # Errors
    /// [`CheckError`], as told there.
    fn ask(
        &self,
        head: &Head,
        server: Contact,
        tested: Multiaddr,
    ) -> impl Future<Output = Result<Verdict, CheckError>> + Send;

    /// Whether one of these addresses of a server could be dialed now.
    fn has_room(&self, server: &PeerId, addresses: &[Multiaddr]) -> bool;
}

/// What the rounds work with.
#[derive(Debug)]
pub(crate) struct Parts<A> {
    /// The heads of this node.
    pub(crate) heads: Arc<HeadList>,
    /// The servers of the network.
    pub(crate) table: Arc<Table>,
    /// Those of them that test addresses.
    pub(crate) testers: Arc<Servers>,
    /// By what they are asked.
    pub(crate) asks: Arc<A>,
    /// What is told of the results.
    pub(crate) report: Arc<Report>,
    /// From one round to the next.
    pub(crate) every: Duration,
    /// How far the node is.
    pub(crate) phase: watch::Receiver<Phase>,
}

/// An address that is to be tested.
struct Target {
    head: Arc<Head>,
    way: Way,
    address: Multiaddr,
}

/// Has the addresses of all heads tested, once per interval.
pub(crate) async fn run<A: Ask>(parts: Parts<A>) {
    let mut phase = parts.phase.clone();
    let work = async {
        let mut pause = PAUSE.min(parts.every);
        tokio::time::sleep(pause).await;
        loop {
            let started = Instant::now();
            if parts.round().await {
                pause = PAUSE.min(parts.every);
                tokio::time::sleep_until(started + parts.every).await;
            } else {
                // Nobody is there yet who could tell.
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(parts.every);
            }
        }
    };
    tokio::select! {
        () = work => {}
        _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
    }
}

impl<A: Ask> Parts<A> {
    /// Tests one address of each way of each head; false if none of several has a result.
    async fn round(&self) -> bool {
        let (heads, begun) = (self.heads.now(), Instant::now());
        let targets: Vec<_> = heads.iter().flat_map(targets).collect();
        let servers = servers::of_table(&self.table, &self.testers);
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (all, servers, pace) = (targets.len(), &servers, &Mutex::new(pace));
        let test = |target: Target| async move {
            let verdict = self.test(&target, servers, pace).await?;
            target.head.found.record(target.way, target.address.clone(), verdict);
            self.report.on_verdict(target.head.slot, target.way, &target.address, verdict);
            Some(verdict)
        };
        let tested = stream::iter(targets).map(test).buffer_unordered(PARALLEL);
        let judged = tested.filter(|verdict| std::future::ready(verdict.is_some())).count().await;
        if let Some(then) = Instant::now().checked_sub(RESULT_INTERVALS * self.every) {
            // A round may take longer than that.
            heads.iter().for_each(|head| head.found.forget_before(then.min(begun)));
        }
        self.report.on_round(&self.heads);
        all == 0 || judged > 0
    }

    /// Asks one server after the other until one has reached the address, or several have not.
    async fn test(
        &self,
        target: &Target,
        servers: &[Arc<Server>],
        pace: &Mutex<Interval>,
    ) -> Option<Verdict> {
        let mut unreachable = 0;
        let asked = servers::for_address(servers, &target.address, target.way);
        let has_room = |(server, at): &(Arc<Server>, Vec<Multiaddr>)| self.asks.has_room(&server.peer, at);
        for (server, addresses) in asked.into_iter().filter(has_room).take(ASKED_MAX) {
            pace.lock().await.tick().await;
            let contact = Contact { peer: server.peer, addresses };
            let result = self.asks.ask(&target.head, contact, target.address.clone()).await;
            self.report.count(result);
            match result {
                Ok(Verdict::Reachable) => return Some(Verdict::Reachable),
                Ok(Verdict::Unreachable) => unreachable += 1,
                // Says nothing about the address.
                Err(_) => {}
            }
            if unreachable == UNREACHABLE_MIN {
                return Some(Verdict::Unreachable);
            }
        }
        None
    }
}

/// The best address of each way that the head advertises.
fn targets(head: &Arc<Head>) -> Vec<Target> {
    let advertised = head.status.borrow().advertised.clone();
    let best = |way: Way| {
        let address = advertised.iter().find(|address| Way::of(address) == Some(way))?;
        Some(Target { head: Arc::clone(head), way, address: address.clone() })
    };
    Way::ALL.into_iter().filter_map(best).collect()
}

/// Asks through the heads' own swarms, whose dials pass the gate.
impl Ask for crate::net::routing::network::Wire {
    async fn ask(&self, head: &Head, server: Contact, tested: Multiaddr) -> Result<Verdict, CheckError> {
        let tester = head.tester.load_full().ok_or(CheckError::NotAsked)?;
        let addresses = self.dials.choose(&server.peer, server.addresses);
        tester.check(server.peer, addresses, tested).await
    }

    fn has_room(&self, server: &PeerId, addresses: &[Multiaddr]) -> bool {
        Network::has_room(self, server, addresses)
    }
}

#[cfg(test)]
mod tests;

//! The real heads, as the keeper starts and stops them.

use super::run::Heads;
use crate::config::{Config, Ports};
use crate::net::head;
use crate::net::head::connection_limits::NodeConnections;
use crate::net::heads::HeadList;
use crate::net::own_addresses::OwnAddresses;
use crate::net::ports;
use crate::net::requests::proof::Proof;
use crate::net::requests::request_handler::Shared;
use crate::net::routing::table_maintenance::Candidate;
use crate::net::supervise::Phase;
use hydra_api::HeadLease;
use libp2p::PeerId;
use libp2p::identity::Keypair;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, Id, JoinSet};

/// What every head of a node needs.
#[derive(Debug)]
pub(crate) struct HeadParts {
    pub(crate) config: Arc<Config>,
    pub(crate) kad: hydra_kad::Config,
    pub(crate) shared: Arc<Shared>,
    pub(crate) connections: Arc<NodeConnections>,
    pub(crate) candidates: mpsc::Sender<Candidate>,
    /// The heads that run.
    pub(crate) list: Arc<HeadList>,
}

/// A head that cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeadError {
    /// An identity is not what it should be.
    #[error("the private key of slot {slot} does not belong to its peer id")]
    Identity { slot: u32 },
    /// No port can be listened on.
    #[error("head {slot} cannot listen on {on}: {cause}")]
    Listen { slot: u32, on: String, cause: io::Error },
}

/// The heads of a node. Dropped, it ends them.
#[derive(Debug)]
pub(crate) struct NodeHeads {
    parts: HeadParts,
    phase: Phase,
    tasks: JoinSet<()>,
    running: HashMap<u32, Running>,
    /// The ports of the running heads.
    ports: HashSet<u16>,
}

#[derive(Debug)]
struct Running {
    peer: PeerId,
    port: u16,
    phase: watch::Sender<Phase>,
    task: AbortHandle,
}

impl NodeHeads {
    /// No head yet.
    pub(crate) fn new(parts: HeadParts) -> Self {
        let (tasks, running, ports) = (JoinSet::new(), HashMap::new(), HashSet::new());
        Self { parts, phase: Phase::Serving, tasks, running, ports }
    }

    /// The slot's own port if it is free, else that of the lease, else one that is free. With strict ports none but the own.
    fn port(&self, lease: &HeadLease) -> Result<u16, HeadError> {
        let is_strict = self.parts.config.heads.ports == Ports::Strict;
        let is_free =
            |own: u16| !self.ports.contains(&own) && ports::is_free_now(&self.parts.config.heads, own);
        if let Some(own) = lease.own_port.filter(|own| *own != lease.port) {
            if is_free(own) {
                tracing::info!(
                    head = lease.slot,
                    port = own,
                    from = lease.port,
                    "returning to the port of the slot, which is free again"
                );
                return Ok(own);
            }
            // The head moved before the config wanted it to stay.
            if is_strict {
                return Err(self.taken(lease.slot, own));
            }
        }
        let port = ports::port(&self.parts.config.heads, lease.port, &self.ports).map_err(|cause| {
            HeadError::Listen { slot: lease.slot, on: listeners(&self.parts.config, lease.port), cause }
        })?;
        if port != lease.port && lease.port != 0 {
            if is_strict {
                return Err(self.taken(lease.slot, lease.port));
            }
            let (head, taken) = (lease.slot, lease.port);
            tracing::warn!(head, taken, port, "the port is taken, listening on a free one");
        }
        Ok(port)
    }

    /// The port of a slot is taken, and the config wants no other.
    fn taken(&self, slot: u32, port: u16) -> HeadError {
        let cause = format!(
            "port {port} is in use, and heads.ports is \"strict\": end the process that uses it (`ss -lnp` shows it), or set \
             heads.ports to \"move\""
        );
        let on = listeners(&self.parts.config, port);
        HeadError::Listen { slot, on, cause: io::Error::new(io::ErrorKind::AddrInUse, cause) }
    }

    fn on_ended(&mut self, task: Id) -> Option<u32> {
        let slot = self.running.iter().find(|(_, head)| head.task.id() == task).map(|(slot, _)| *slot)?;
        let head = self.running.remove(&slot)?;
        self.ports.remove(&head.port);
        self.parts.list.remove(slot);
        if self.phase != Phase::Stopping {
            self.parts.shared.table.remove(&head.peer);
            self.parts.shared.peer_addresses.forget(&head.peer);
        }
        Some(slot)
    }
}

impl Heads for NodeHeads {
    type Error = HeadError;

    fn start(&mut self, lease: &HeadLease, proof: Arc<Proof>) -> Result<u16, HeadError> {
        let (key, port) = (key_of(lease)?, self.port(lease)?);
        let (phase, phase_seen) = watch::channel(self.phase);
        let parts = &self.parts;
        let parts = head::Parts {
            slot: lease.slot,
            key,
            proof,
            listen: ports::addresses(&parts.config.heads, port),
            own_addresses: OwnAddresses::of(&parts.config, port),
            config: Arc::clone(&parts.config),
            kad: parts.kad.clone(),
            shared: Arc::clone(&parts.shared),
            connections: Arc::clone(&parts.connections),
            phase: phase_seen,
            candidates: parts.candidates.clone(),
            list: Arc::clone(&parts.list),
        };
        let (head, task) = head::spawn(parts, &mut self.tasks);
        self.running.insert(lease.slot, Running { peer: head.peer, port, phase, task });
        self.ports.insert(port);
        self.parts.list.add(head);
        Ok(port)
    }

    fn set_phase(&mut self, phase: Phase) {
        self.phase = phase;
        for head in self.running.values() {
            // A head that stops does not serve again.
            head.phase.send_if_modified(|now| std::mem::replace(now, phase.max(*now)) != *now);
        }
    }

    fn stop(&mut self, slot: u32) {
        if let Some(head) = self.running.get(&slot) {
            head.phase.send_replace(Phase::Stopping);
        }
    }

    fn abort(&mut self, slot: u32) {
        if let Some(head) = self.running.get(&slot) {
            head.task.abort();
        }
    }

    async fn ended(&mut self) -> u32 {
        loop {
            match self.tasks.join_next_with_id().await {
                Some(ended) => {
                    let task = ended.map_or_else(|error| error.id(), |(task, ())| task);
                    if let Some(slot) = self.on_ended(task) {
                        return slot;
                    }
                }
                None => std::future::pending().await,
            }
        }
    }
}

/// The addresses that a head with this port is to listen on, as errors name them.
fn listeners(config: &Config, port: u16) -> String {
    let addresses = ports::addresses(&config.heads, port);
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn key_of(lease: &HeadLease) -> Result<Keypair, HeadError> {
    let wrong = HeadError::Identity { slot: lease.slot };
    let Ok(key) = Keypair::ed25519_from_bytes(*lease.identity.ed25519_seed()) else { return Err(wrong) };
    if key.public().to_peer_id().to_bytes() == lease.peer.as_bytes() { Ok(key) } else { Err(wrong) }
}

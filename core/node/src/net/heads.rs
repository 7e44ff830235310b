//! The heads as the rest of the node sees them.

mod list;
mod reach;
mod status;

pub use list::HeadLine;
pub(crate) use list::{HeadList, Traffic};
pub(crate) use reach::{Found, Reach, Way};
pub(crate) use status::{ListenerCounts, State, Status};

use crate::net::autonat;
use arc_swap::ArcSwapOption;
use hydra_kad::{Client, Mode};
use libp2p::PeerId;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::watch;

/// A head as the rest of the node sees it.
#[derive(Debug)]
pub(crate) struct Head {
    /// Its number in the fleet.
    pub(crate) slot: u32,
    /// Its id.
    pub(crate) peer: PeerId,
    /// What is known of it.
    pub(crate) status: watch::Receiver<Status>,
    /// Asks others in the head's name; `None` while the head is down.
    pub(crate) client: Arc<ArcSwapOption<Client>>,
    /// Has others test whether they reach the head; `None` while the head is down.
    pub(crate) tester: Arc<ArcSwapOption<autonat::Client>>,
    /// What they found.
    pub(crate) found: Arc<Found>,
    /// How often it was started again.
    pub(crate) restarts: Arc<AtomicU64>,
    /// Whether it is to be a server; its task follows.
    pub(crate) mode: Arc<watch::Sender<Mode>>,
}

impl Head {
    /// A head that no task runs.
    #[cfg(test)]
    pub(crate) fn idle(slot: u32, status: watch::Receiver<Status>) -> Self {
        Self {
            slot,
            peer: PeerId::random(),
            status,
            client: Arc::default(),
            tester: Arc::default(),
            found: Arc::default(),
            restarts: Arc::default(),
            mode: Arc::new(watch::Sender::new(Mode::Server)),
        }
    }

    /// How it stands with it.
    pub(crate) fn state(&self) -> State {
        // Its task holds the other end as long as it runs.
        if self.status.has_changed().is_err() { State::Ended } else { self.status.borrow().state() }
    }

    /// Whether it is to be a server while the node serves: it is none while it has left for an ebb.
    pub(crate) fn mode(&self) -> Mode {
        *self.mode.borrow()
    }

    /// Whether others can reach it, on each way that it advertises.
    pub(crate) fn reach(&self) -> Vec<(Way, Reach)> {
        self.found.of(&self.status.borrow().advertised)
    }
}

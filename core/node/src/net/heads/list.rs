//! The heads that run now: the list changes when a lease is lost or obtained.

use super::{Head, ListenerCounts, Reach, State, Way};
use arc_swap::ArcSwap;
use hydra_kad::Mode;
use libp2p::PeerId;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// One head as [`HEADS_FILE`](crate::node::HEADS_FILE) lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeadLine {
    /// Its number in the fleet.
    pub slot: u32,
    /// Its id.
    pub peer: String,
    /// Where it listens, each with `/p2p/` and the id.
    pub addresses: Vec<String>,
}

/// The heads that run now, in the order of their slots. Reading takes no lock.
#[derive(Debug, Default)]
pub(crate) struct HeadList {
    heads: ArcSwap<Vec<Arc<Head>>>,
    /// Held by whoever changes the list.
    changing: Mutex<()>,
    /// Restarts of heads that have left the list, so that the sum never falls.
    restarts_before: AtomicU64,
    changed: Notify,
    /// How often heads left server mode for an ebb, and came back.
    ebbs: [AtomicU64; 2],
    /// Counts what each head has to do, by slot.
    counters: Mutex<BTreeMap<u32, Counter>>,
}

/// Counts what a head has to do.
struct Counter(Box<dyn Fn() -> Traffic + Send + Sync>);

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)().fmt(f)
    }
}

/// What a head has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Its open connections.
    pub(crate) connections: usize,
    /// Requests since its last start.
    pub(crate) requests: u64,
}

impl HeadList {
    /// The heads at this moment.
    pub(crate) fn now(&self) -> Arc<Vec<Arc<Head>>> {
        self.heads.load_full()
    }

    /// Adds a head. One of the same slot, whose task has ended, is replaced.
    pub(crate) fn add(&self, head: Head) {
        self.change(head.slot, Some(head));
    }

    /// Removes the head of a slot, if there is one.
    pub(crate) fn remove(&self, slot: u32) {
        self.change(slot, None);
    }

    fn change(&self, slot: u32, head: Option<Head>) {
        if head.is_none() {
            self.counters().remove(&slot);
        }
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut heads = Vec::clone(&self.heads.load());
        let at = heads.partition_point(|head| head.slot < slot);
        if heads.get(at).is_some_and(|head| head.slot == slot) {
            let before = heads.remove(at).restarts.load(Ordering::Relaxed);
            self.restarts_before.fetch_add(before, Ordering::Relaxed);
        }
        if let Some(head) = head {
            heads.insert(at, Arc::new(head));
        }
        self.heads.store(Arc::new(heads));
        self.on_change();
    }

    /// Takes note of how it is counted from now on what a head has to do.
    pub(crate) fn count_by(&self, slot: u32, counter: impl Fn() -> Traffic + Send + Sync + 'static) {
        self.counters().insert(slot, Counter(Box::new(counter)));
    }

    /// What each head has to do, by slot.
    pub(crate) fn traffic(&self) -> BTreeMap<u32, Traffic> {
        self.counters().iter().map(|(slot, counter)| (*slot, (counter.0)())).collect()
    }

    fn counters(&self) -> MutexGuard<'_, BTreeMap<u32, Counter>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of the head of this slot. Takes no lock.
    pub(crate) fn peer(&self, slot: u32) -> Option<PeerId> {
        let heads = self.heads.load();
        let at = heads.binary_search_by_key(&slot, |head| head.slot).ok()?;
        heads.get(at).map(|head| head.peer)
    }

    /// How many heads there are, and how many of them have left server mode for an ebb.
    pub(crate) fn ebb(&self) -> (usize, usize) {
        let heads = self.heads.load();
        (heads.len(), heads.iter().filter(|head| head.mode() == Mode::Client).count())
    }

    /// Has a head leave server mode, or come back.
    pub(crate) fn switch(&self, head: &Head, mode: Mode) {
        if head.mode.send_replace(mode) != mode {
            self.ebbs[usize::from(mode == Mode::Server)].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often heads left server mode for an ebb, and how often they came back.
    pub(crate) fn ebbs(&self) -> [u64; 2] {
        self.ebbs.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// The ids of the heads.
    pub(crate) fn peers(&self) -> Vec<PeerId> {
        self.heads.load().iter().map(|head| head.peer).collect()
    }

    /// How many heads are in each state, in the order of [`State::ALL`].
    pub(crate) fn by_state(&self) -> [u64; State::ALL.len()] {
        let mut counts = [0; State::ALL.len()];
        for head in self.heads.load().iter() {
            counts[head.state() as usize] += 1;
        }
        counts
    }

    /// How many heads can be reached, cannot, and may or may not, in the order of [`Reach::ALL`], for each of [`Way::ALL`].
    pub(crate) fn by_reach(&self) -> [[u64; Reach::ALL.len()]; Way::ALL.len()] {
        let mut counts = [[0; Reach::ALL.len()]; Way::ALL.len()];
        for (way, reach) in self.heads.load().iter().flat_map(|head| head.reach()) {
            counts[way.index()][reach as usize] += 1;
        }
        counts
    }

    /// The slots of the heads that listen and advertise no address.
    pub(crate) fn unadvertised(&self) -> Vec<u32> {
        let heads = self.heads.load();
        let is_hidden = |head: &&Arc<Head>| {
            let status = head.status.borrow();
            status.ready && !status.addresses.is_empty() && status.advertised.is_empty()
        };
        heads.iter().filter(is_hidden).map(|head| head.slot).collect()
    }

    /// The listeners of all heads: how many listen, and how many are tried again.
    pub(crate) fn listeners(&self) -> ListenerCounts {
        let mut total = ListenerCounts::default();
        for head in self.heads.load().iter() {
            let counts = head.status.borrow().listeners;
            total.up += counts.up;
            total.down += counts.down;
        }
        total
    }

    /// How often heads were started again after a failure, including heads that have left the list.
    pub(crate) fn restarts(&self) -> u64 {
        let now: u64 = self.heads.load().iter().map(|head| head.restarts.load(Ordering::Relaxed)).sum();
        self.restarts_before.load(Ordering::Relaxed) + now
    }

    /// The heads as [`HEADS_FILE`](crate::node::HEADS_FILE) lists them.
    pub(crate) fn lines(&self) -> Vec<HeadLine> {
        self.heads.load().iter().map(|head| line(head)).collect()
    }

    /// Reports that the list, or an address of a head, has changed.
    pub(crate) fn on_change(&self) {
        self.changed.notify_one();
    }

    /// Waits for a change since the last wait. For one task alone.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

fn line(head: &Head) -> HeadLine {
    let status = head.status.borrow();
    let mut addresses: Vec<_> =
        status.addresses.iter().map(|address| format!("{address}/p2p/{}", head.peer)).collect();
    // Interfaces are found in any order; a reader of the lines of two starts expects the same order.
    addresses.sort();
    HeadLine { slot: head.slot, peer: head.peer.to_string(), addresses }
}

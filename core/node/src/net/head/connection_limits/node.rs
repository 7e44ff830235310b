//! The connections of the whole node.

use super::marks::Marks;
use super::places::{PlaceLimits, Places};
use super::refusal::{Refusal, Refusals};
use super::rounds::{Cause, Rounds};
use crate::net::unique_peers::UniquePeers;
use hydra_api::Causes;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// The time between two log lines of failures to accept, in seconds.
const ACCEPT_LOG_PAUSE_S: u64 = 60;

/// What all heads share: how many connections the node has.
#[derive(Debug)]
pub struct NodeConnections {
    pub(super) marks: Marks,
    pub(super) held: AtomicU32,
    /// Of those held, the ones that are about to be closed.
    pub(super) closing: AtomicU32,
    pub(super) refusals: Refusals,
    pub(super) places: Arc<Places>,
    accept_failures: AtomicU64,
    /// When such a failure was last logged, in seconds since `began`.
    accept_failure_logged_s: AtomicU64,
    began: Instant,
    pub(super) trimmed: AtomicU64,
    pub(super) closed_for_memory: AtomicU64,
    refuses_inbound: AtomicBool,
    pub(super) unique_peers: UniquePeers,
    pub(super) rounds: Rounds,
    /// The part of a connection that heads have left over of their parts of a round, in 65,536ths: the next one closes it.
    carried: AtomicU64,
}

/// What becomes of connections that others make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inbound {
    /// Within the limits they are admitted.
    Admitted,
    /// All are refused: the process is near its memory limit.
    Refused,
}

impl NodeConnections {
    /// A node without connections.
    pub fn new(marks: Marks, limits: PlaceLimits) -> Self {
        Self {
            marks,
            held: AtomicU32::new(0),
            closing: AtomicU32::new(0),
            refusals: Refusals::default(),
            places: Arc::new(Places::new(limits)),
            accept_failures: AtomicU64::new(0),
            accept_failure_logged_s: AtomicU64::new(0),
            began: Instant::now(),
            trimmed: AtomicU64::new(0),
            closed_for_memory: AtomicU64::new(0),
            refuses_inbound: AtomicBool::new(false),
            unique_peers: UniquePeers::new(Instant::now()),
            rounds: Rounds::default(),
            carried: AtomicU64::new(0),
        }
    }

    /// How many there may be.
    pub fn marks(&self) -> Marks {
        self.marks
    }

    /// The peers with which a connection was made. One that lasts counts when it begins.
    pub fn unique_peers(&self) -> &UniquePeers {
        &self.unique_peers
    }

    /// Connections that are established.
    pub fn held(&self) -> u32 {
        self.held.load(Ordering::Relaxed)
    }

    /// Connections that are to stay.
    pub(super) fn staying(&self) -> u32 {
        self.held().saturating_sub(self.closing.load(Ordering::Relaxed))
    }

    /// How many of its connections a head closes when all heads together close `part` of `of`. Heads with few connections close
    /// one now and then.
    pub(super) fn surplus(&self, staying: usize, part: u32, of: u32) -> usize {
        const WHOLE: u64 = 1 << 16;
        let exact = staying as u64 * u64::from(part) * WHOLE / u64::from(of.max(1));
        let rest = |carried: u64| Some((carried + exact) % WHOLE);
        let carried = self.carried.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        usize::try_from((carried.unwrap_or_default() + exact) / WHOLE).unwrap_or(usize::MAX)
    }

    /// Connections refused so far for this reason.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refusals.so_far(refusal)
    }

    /// Inbound connections that are being established.
    pub fn pending(&self) -> u32 {
        self.places.pending()
    }

    /// Counts a connection that the system did not hand over, as when the process has no file descriptor left, and logs it
    /// at most once a minute.
    pub(crate) fn on_accept_failed(&self, cause: &io::Error) {
        self.accept_failures.fetch_add(1, Ordering::Relaxed);
        let now = self.began.elapsed().as_secs() + ACCEPT_LOG_PAUSE_S;
        let logged = self.accept_failure_logged_s.load(Ordering::Relaxed);
        let is_due = now >= logged + ACCEPT_LOG_PAUSE_S;
        let exchanged = |to| {
            self.accept_failure_logged_s.compare_exchange(logged, to, Ordering::Relaxed, Ordering::Relaxed)
        };
        if is_due && exchanged(now).is_ok() {
            tracing::warn!(error = %Causes(cause), "cannot accept a connection; further failures are counted");
        }
    }

    /// Failures to accept a connection so far.
    pub fn accept_failures(&self) -> u64 {
        self.accept_failures.load(Ordering::Relaxed)
    }

    /// Connections closed so far because there were too many.
    pub fn trimmed(&self) -> u64 {
        self.trimmed.load(Ordering::Relaxed)
    }

    /// Connections closed so far by [`Self::close_least_useful`].
    pub fn closed_for_memory(&self) -> u64 {
        self.closed_for_memory.load(Ordering::Relaxed)
    }

    /// Admits or refuses inbound connections from now on, those that are being established included.
    pub fn set_inbound(&self, inbound: Inbound) {
        self.refuses_inbound.store(inbound == Inbound::Refused, Ordering::Relaxed);
    }

    /// Has every head close an eighth of its connections, the least useful ones, unless connections are being closed already.
    pub fn close_least_useful(&self) {
        self.rounds.begin(Cause::Memory);
    }

    /// What becomes of inbound connections now.
    pub fn inbound(&self) -> Inbound {
        if self.refuses_inbound.load(Ordering::Relaxed) { Inbound::Refused } else { Inbound::Admitted }
    }
}

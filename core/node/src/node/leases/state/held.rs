//! One lease, and until when its head may serve.

use crate::net::requests::proof::Proof;
use crate::observe::failure_log::FailureLog;
use hydra_api::HeadLease;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A head is stopped this part of the life before the lease ends, and at most [`MARGIN_MAX`] before.
const MARGIN_PART: u32 = 10;
const MARGIN_MAX: Duration = Duration::from_secs(2);
/// A longer life, which a plugin may report by mistake, counts as this: the clock cannot add more.
pub(super) const LIFE_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A lease that was not reported lost.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) lease: HeadLease,
    pub(crate) proof: Arc<Proof>,
    /// `None` for a lease that lasts as long as the process.
    until: Option<Instant>,
    /// The end was reached without proof of a renewal.
    pub(super) expired: bool,
    /// The head could not start: not again before then.
    pub(crate) start_at: Instant,
    pub(super) start_failures: FailureLog,
}

impl Held {
    /// A lease that a call which began then returned.
    pub(super) fn new(lease: HeadLease, begun: Instant, now: Instant) -> Self {
        let until = end(begun, lease.life);
        let proof = Arc::new(Proof::new(until.map(Instant::into_std)));
        Self { lease, proof, until, expired: false, start_at: now, start_failures: FailureLog::default() }
    }

    /// The lease has this life, as a call which began then told.
    pub(super) fn prove(&mut self, begun: Instant, life: Option<Duration>, now: Instant) {
        self.lease.life = life;
        self.until = end(begun, life);
        self.proof.extend(self.until.map(Instant::into_std));
        self.expired &= !self.is_proven(now);
    }

    /// When its head stops unless the lease is renewed; `None` for never.
    pub(super) fn stop_at(&self) -> Option<Instant> {
        let margin = self.lease.life.map_or(Duration::ZERO, |life| (life / MARGIN_PART).min(MARGIN_MAX));
        self.until.map(|until| until.checked_sub(margin).unwrap_or(until))
    }

    /// True while a head may serve under the lease.
    pub(crate) fn is_proven(&self, now: Instant) -> bool {
        self.stop_at().is_none_or(|stop| now < stop)
    }

    /// How long the lease is known to be held still.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now))
    }
}

fn end(begun: Instant, life: Option<Duration>) -> Option<Instant> {
    life.and_then(|life| begun.checked_add(life.min(LIFE_MAX)))
}

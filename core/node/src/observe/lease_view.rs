//! What operators see of the leases.

use hydra_api::{IdError, IdErrorKind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What operators see of the leases. The keeper writes it; readers take no lock that it waits for long.
#[derive(Debug, Default)]
pub(crate) struct LeaseView {
    /// How many heads the config asks for.
    pub(crate) wanted: AtomicU64,
    /// Leases under which a head may serve.
    pub(crate) proven: AtomicU64,
    /// Leases that may have ended, as no renewal is proven.
    pub(crate) unproven: AtomicU64,
    /// Leases that the allocator reported lost.
    pub(crate) lost: AtomicU64,
    /// Leases whose end was reached without proof of a renewal.
    pub(crate) expired: AtomicU64,
    /// Calls that succeeded and that failed.
    pub(crate) renewals: [AtomicU64; 2],
    pub(crate) acquisitions: [AtomicU64; 2],
    /// By call, as the counters.
    is_corrupt: [AtomicBool; 2],
    /// When the first lease ends, if any has an end.
    first_end: Mutex<Option<Instant>>,
}

/// The leases of a node at one moment; the fields are those of [`LeaseView`].
#[derive(Debug, Default)]
pub(crate) struct LeaseCounts {
    pub(crate) wanted: u64,
    pub(crate) proven: u64,
    pub(crate) unproven: u64,
    pub(crate) lost: u64,
    pub(crate) expired: u64,
    pub(crate) first_end: Option<Instant>,
}

/// A call that the keeper makes again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseCall {
    /// Renews the leases that are held.
    Renew,
    /// Acquires those that are missing.
    Acquire,
}

impl LeaseCall {
    /// The word for it in the log.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Renew => "renew",
            Self::Acquire => "acquire",
        }
    }
}

/// The words for the outcomes of calls, in the order of the counters.
pub(crate) const OUTCOMES: [&str; 2] = ["ok", "failed"];

impl LeaseView {
    /// A node that holds as many leases as it wants, for as long as it lives.
    #[cfg(test)]
    pub(crate) fn holding(heads: u32) -> Self {
        Self { wanted: u64::from(heads).into(), proven: u64::from(heads).into(), ..Self::default() }
    }

    /// Shows these numbers from now on.
    pub(crate) fn publish(&self, counts: &LeaseCounts) {
        *self.first_end.lock().unwrap_or_else(PoisonError::into_inner) = counts.first_end;
        for (shown, value) in [
            (&self.wanted, counts.wanted),
            (&self.proven, counts.proven),
            (&self.unproven, counts.unproven),
            (&self.lost, counts.lost),
            (&self.expired, counts.expired),
        ] {
            shown.store(value, Ordering::Relaxed);
        }
    }

    /// Notes how a call ended.
    pub(crate) fn record(&self, call: LeaseCall, result: Result<(), &IdError>) {
        let counters = match call {
            LeaseCall::Renew => &self.renewals,
            LeaseCall::Acquire => &self.acquisitions,
        };
        counters[usize::from(result.is_err())].fetch_add(1, Ordering::Relaxed);
        let is_corrupt = result.is_err_and(|error| error.kind() == IdErrorKind::Corrupt);
        self.is_corrupt[call as usize].store(is_corrupt, Ordering::Relaxed);
    }

    /// True when the last renewal or acquisition reported that the state of the allocator is damaged.
    pub(crate) fn is_corrupt(&self) -> bool {
        self.is_corrupt.iter().any(|is_corrupt| is_corrupt.load(Ordering::Relaxed))
    }

    /// How long every lease is known to be held; `None` when no lease has an end.
    pub(crate) fn remaining(&self, now: Instant) -> Option<Duration> {
        let first = *self.first_end.lock().unwrap_or_else(PoisonError::into_inner);
        first.map(|end| end.saturating_duration_since(now))
    }
}

//! Until when a lease is known to be held.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Until when the lease of a head is known to be held, on the monotonic clock. Read at every request.
///
/// The keeper stops the head before that time. A keeper that is late, as in a process that did not get the CPU, stops it too
/// late, and the head answers nothing meanwhile: another process may serve its identity. A clock that stands still while the
/// machine sleeps is no help against this; the epoch of the lease is.
#[derive(Debug)]
pub(crate) struct Proof {
    base: Instant,
    /// In microseconds after `base`.
    until_us: AtomicU64,
}

/// The value for a lease without an end.
const FOREVER: u64 = u64::MAX;

impl Proof {
    /// A lease that is known to be held until then; without an end if `None`.
    pub(crate) fn new(until: Option<Instant>) -> Self {
        let proof = Self { base: Instant::now(), until_us: AtomicU64::new(0) };
        proof.extend(until);
        proof
    }

    /// From now on the lease is known to be held until then.
    pub(crate) fn extend(&self, until: Option<Instant>) {
        let until_us = until.map_or(FOREVER, |until| micros(until.saturating_duration_since(self.base)));
        self.until_us.store(until_us, Ordering::Relaxed);
    }

    /// True while the lease is known to be held.
    pub(crate) fn holds(&self, now: Instant) -> bool {
        let until_us = self.until_us.load(Ordering::Relaxed);
        until_us == FOREVER || micros(now.saturating_duration_since(self.base)) < until_us
    }
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(FOREVER - 1).min(FOREVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_holds_until_its_end_and_for_ever_without_one() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let proof = Proof::new(Some(now + second));
        assert!(proof.holds(now));
        assert!(!proof.holds(now + second));
        proof.extend(Some(now + 2 * second));
        assert!(proof.holds(now + second));
        proof.extend(None);
        assert!(proof.holds(now + 1_000_000 * second));
        proof.extend(Some(now));
        assert!(!proof.holds(now + second), "it may also end at once");
    }
}

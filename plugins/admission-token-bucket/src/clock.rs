//! The moments that a policy is passed, as numbers.

use crate::gcra::TICK_NS;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The last nanosecond that counts, 292 years after the first: sums of it and a burst do not overflow.
const NS_MAX: u64 = u64::MAX / 2;

/// Turns moments into nanoseconds since the first of them. They go back by less than [`TICK_NS`], however far a moment
/// does: the threads of a node share the latest of each tick alone, so that not every request writes to memory that all
/// of them read.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    start: OnceLock<Instant>,
    latest_ns: AtomicU64,
}

impl Clock {
    pub(crate) fn read(&self, now: Instant) -> u64 {
        let start = *self.start.get_or_init(|| now);
        let since = now.saturating_duration_since(start).as_nanos();
        let ns = u64::try_from(since).unwrap_or(NS_MAX).min(NS_MAX);
        let latest = self.latest_ns.load(Ordering::Relaxed);
        if ns >= latest + TICK_NS {
            return self.latest_ns.fetch_max(ns, Ordering::Relaxed).max(ns);
        }
        ns.max(latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn moments_go_back_by_less_than_a_tick() {
        let (clock, start) = (Clock::default(), Instant::now());
        assert_eq!(clock.read(start), 0);
        let mut latest = 0;
        for step in 0..100_000_u64 {
            // Back and forth, by less and more than a tick.
            let ns = step * 1_000 + step.wrapping_mul(0x9E37_79B9) % (3 * TICK_NS);
            let read = clock.read(start + Duration::from_nanos(ns));
            assert!(read >= ns && read + TICK_NS > latest, "{read} after {latest}");
            latest = latest.max(read);
        }
        let hour = Duration::from_secs(3_600);
        let read = clock.read(start + hour);
        assert_eq!(u128::from(read), hour.as_nanos());
        assert_eq!(clock.read(start), read);
        assert_eq!(start.checked_sub(hour).map_or(read, |early| clock.read(early)), read);
    }

    #[test]
    fn moments_beyond_all_bounds_are_the_last_one() {
        let (clock, start) = (Clock::default(), Instant::now());
        clock.read(start);
        let ages = (0..64).filter_map(|power| start.checked_add(Duration::from_secs(1 << power)));
        assert_eq!(ages.map(|moment| clock.read(moment)).max(), Some(NS_MAX));
    }
}

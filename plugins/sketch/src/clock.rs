//! The moments that a policy is passed, in ticks.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The length of a tick in nanoseconds: 17 ms, a power of two.
pub const TICK_NS: u64 = 1 << 24;

/// The number of a tick since the start of a clock.
pub type Tick = u64;

/// Turns moments into ticks since the first of them. They never go back, however far a moment does.
///
/// Threads write to it once a tick, so that they do not take it from each other for each request.
#[derive(Debug, Default)]
pub struct Clock {
    start: OnceLock<Instant>,
    latest: AtomicU64,
}

impl Clock {
    /// The tick of this moment, or the latest one if that is later.
    pub fn read(&self, now: Instant) -> Tick {
        let start = *self.start.get_or_init(|| now);
        let ns = now.saturating_duration_since(start).as_nanos();
        let tick = Tick::try_from(ns / u128::from(TICK_NS)).unwrap_or(Tick::MAX);
        let latest = self.latest.load(Ordering::Relaxed);
        if tick > latest {
            return self.latest.fetch_max(tick, Ordering::Relaxed).max(tick);
        }
        latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ticks_never_go_back() {
        let (clock, start) = (Clock::default(), Instant::now());
        assert_eq!(clock.read(start), 0);
        let hour = Duration::from_secs(3_600);
        let later = clock.read(start + hour);
        assert_eq!(u128::from(later), hour.as_nanos() / u128::from(TICK_NS));
        for back in [start, start + hour / 2, start.checked_sub(hour).unwrap_or(start)] {
            assert_eq!(clock.read(back), later);
        }
        assert_eq!(clock.read(start + hour + Duration::from_nanos(TICK_NS)), later + 1);
    }

    #[test]
    fn moments_have_ticks_of_their_own_however_far_away() {
        let (clock, start) = (Clock::default(), Instant::now());
        clock.read(start);
        let far = (0..64).filter_map(|power| start.checked_add(Duration::from_secs(1 << power)));
        let ticks: Vec<_> = far.map(|moment| clock.read(moment)).collect();
        assert!(ticks.is_sorted() && ticks[40] > 1 << 32, "{ticks:?}");
    }
}

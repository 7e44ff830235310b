//! The peak: how many requests a second are served at all.

use crate::sync::add;
use hydra_striped::Striped;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// For how long the load may stand above the peak by as much again before it counts. Short bursts pass.
const BURST: Duration = Duration::from_millis(250);

/// So many requests at once are no load above any peak: chance alone brings as many together under a load of half of it.
const BURST_REQUESTS_MIN: u64 = 10;

/// A token bucket for all threads: each takes a few tokens at a time out of a common pool.
#[derive(Debug)]
pub(super) struct Peak {
    per_second: u64,
    burst: u64,
    /// How many tokens a thread takes out of the pool at a time.
    handful: u64,
    pool: AtomicU64,
    stripes: Striped<Stripe>,
}

#[derive(Debug, Default)]
struct Stripe {
    tokens: AtomicU64,
}

/// What is left of a token from tick to tick, in billionths.
#[derive(Debug, Default)]
pub(super) struct Fraction(u64);

impl Peak {
    /// A peak of this many requests a second; none at all for 0.
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = u64::from(per_second);
        let burst = (per_second * BURST.as_millis() as u64 / 1_000).max(BURST_REQUESTS_MIN);
        Self {
            per_second,
            burst,
            handful: (burst / 256).clamp(1, 64),
            pool: AtomicU64::new(burst),
            stripes: Striped::default(),
        }
    }

    /// Takes a token for a request; false if there is none left.
    #[inline]
    pub(super) fn take(&self) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let stripe = self.stripes.mine();
        if take_up_to(&stripe.tokens, 1) == 1 {
            return true;
        }
        match take_up_to(&self.pool, self.handful) {
            0 => false,
            tokens => {
                add(&stripe.tokens, tokens - 1);
                true
            }
        }
    }

    /// Fills the pool for the time since the last tick.
    pub(super) fn tick(&self, left: &mut Fraction, elapsed: Duration) {
        if self.per_second == 0 {
            return;
        }
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let billionths = u128::from(left.0) + u128::from(self.per_second) * u128::from(nanos);
        left.0 = (billionths % 1_000_000_000) as u64;
        let tokens = u64::try_from(billionths / 1_000_000_000).unwrap_or(u64::MAX);
        let fill = |pool: u64| Some(pool.saturating_add(tokens).min(self.burst));
        let _always_filled = self.pool.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fill);
    }

    /// Fills the pool to the brim: what came while everything was declined does not count.
    pub(super) fn forgive(&self) {
        self.pool.store(self.burst, Ordering::Relaxed);
    }

    pub(super) const fn is_enabled(&self) -> bool {
        self.per_second > 0
    }
}

/// Takes up to `wanted` out of a counter; how much it got.
#[inline]
fn take_up_to(counter: &AtomicU64, wanted: u64) -> u64 {
    let mut there = counter.load(Ordering::Relaxed);
    loop {
        let taken = there.min(wanted);
        if taken == 0 {
            return 0;
        }
        match counter.compare_exchange_weak(there, there - taken, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return taken,
            Err(now) => there = now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    #[test]
    fn peaks_below_ten_a_second_let_that_many_pass() {
        for per_second in [1u64, 3, 9, 10, 15] {
            let (peak, mut left) = (Peak::new(per_second as u32), Fraction::default());
            let mut passed = 0;
            for _ in 0..1_000 {
                passed += (0..5).filter(|_| peak.take()).count() as u64;
                peak.tick(&mut left, TICK);
            }
            assert!(
                (per_second * 100..=per_second * 100 + BURST_REQUESTS_MIN).contains(&passed),
                "{passed} at {per_second}/s"
            );
        }
    }

    #[test]
    fn a_load_below_a_small_peak_passes() {
        let (peak, mut left) = (Peak::new(5), Fraction::default());
        for tick in 0..1_000 {
            if tick % 3 == 0 {
                assert!(peak.take(), "3.3 a second pass");
            }
            peak.tick(&mut left, TICK);
        }
    }

    #[test]
    fn many_threads_get_no_more_than_the_burst() {
        let peak = Peak::new(100_000);
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| (0..20_000).filter(|_| peak.take()).count())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 25_000);
    }
}

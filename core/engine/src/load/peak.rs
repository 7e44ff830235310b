//! The peak: how many requests a second are served at all.

use crate::sync::{Striped, add};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// For how long the load may stand above the peak by as much again before it counts. Short bursts pass.
const BURST: Duration = Duration::from_millis(250);

/// So many requests at once are no load above any peak: chance alone brings as many together under a load of half of it.
const BURST_REQUESTS_MIN: u64 = 10;

/// Requests that a window must have room for, for its rate to say something.
const WINDOW_REQUESTS: u64 = 10;

/// The longest window over which the rate is taken, in ticks: ten seconds, in which a peak of one a second has that room.
const WINDOW_TICKS_MAX: usize = 100;

/// A token bucket for all threads: each takes a few tokens at a time out of a common pool, and counts its own requests.
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
    requests: AtomicU64,
    tokens: AtomicU64,
}

/// What is carried from tick to tick.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// What is left of a token, in billionths.
    fraction: u64,
    requests_before: u64,
    /// Requests and time of each of the last ticks, the newest last.
    window: std::collections::VecDeque<(u64, Duration)>,
}

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

    /// Counts a request; whether the peak leaves room for it.
    #[inline]
    pub(super) fn take(&self) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let stripe = self.stripes.mine();
        add(&stripe.requests, 1);
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
    pub(super) fn tick(&self, rate: &mut Rate, elapsed: Duration) {
        if self.per_second == 0 {
            return;
        }
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let fraction = u128::from(rate.fraction) + u128::from(self.per_second) * u128::from(nanos);
        rate.fraction = (fraction % 1_000_000_000) as u64;
        let tokens = u64::try_from(fraction / 1_000_000_000).unwrap_or(u64::MAX);
        let fill = |pool: u64| Some(pool.saturating_add(tokens).min(self.burst));
        let _always_filled = self.pool.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fill);
        let requests = self.stripes.sum(|stripe| &stripe.requests);
        rate.window.push_back((requests - rate.requests_before, elapsed));
        rate.requests_before = requests;
        while rate.window.len() > self.window_ticks(elapsed) {
            rate.window.pop_front();
        }
    }

    /// Fills the pool to the brim: what came while everything was declined does not count.
    pub(super) fn forgive(&self) {
        self.pool.store(self.burst, Ordering::Relaxed);
    }

    /// Whether the requests of the last ticks are more than this share of the peak.
    pub(super) fn is_near(&self, rate: &Rate, percent: u32) -> bool {
        let (requests, millis) = rate
            .window
            .iter()
            .fold((0, 0), |(requests, millis), (more, time)| (requests + more, millis + time.as_millis()));
        self.per_second > 0
            && u128::from(requests) * 100_000 > u128::from(self.per_second) * millis * u128::from(percent)
    }

    pub(super) const fn is_enabled(&self) -> bool {
        self.per_second > 0
    }

    /// So many ticks that the peak has room for a few requests in them.
    fn window_ticks(&self, tick: Duration) -> usize {
        let per_1000_ticks = self.per_second * tick.as_millis().clamp(1, 60_000) as u64;
        ((WINDOW_REQUESTS * 1_000).div_ceil(per_1000_ticks.max(1)) as usize).clamp(1, WINDOW_TICKS_MAX)
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
            let (peak, mut rate) = (Peak::new(per_second as u32), Rate::default());
            let mut passed = 0;
            for _ in 0..1_000 {
                passed += (0..5).filter(|_| peak.take()).count() as u64;
                peak.tick(&mut rate, TICK);
            }
            assert!(
                (per_second * 100..=per_second * 100 + BURST_REQUESTS_MIN).contains(&passed),
                "{passed} at {per_second}/s"
            );
            assert!(peak.is_near(&rate, 100));
            (0..WINDOW_TICKS_MAX).for_each(|_| peak.tick(&mut rate, TICK));
            assert!(!peak.is_near(&rate, 80));
        }
    }

    #[test]
    fn a_load_below_a_small_peak_is_calm() {
        let (peak, mut rate) = (Peak::new(5), Rate::default());
        for tick in 0..1_000 {
            if tick % 3 == 0 {
                assert!(peak.take(), "3.3 a second pass");
            }
            peak.tick(&mut rate, TICK);
            assert!(tick < WINDOW_TICKS_MAX || !peak.is_near(&rate, 80), "tick {tick}");
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

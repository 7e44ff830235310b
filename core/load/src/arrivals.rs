//! The times at which the requests of an open loop are due.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Exp, ExpError};
use std::time::Duration;

/// A Poisson process: the gaps between requests are exponentially distributed, as those of many independent clients are.
/// Equal seeds give equal times. It yields the time of each request from the start of its step, without end.
#[derive(Debug)]
pub struct Arrivals {
    gaps: Exp<f64>,
    random: StdRng,
    at_s: f64,
}

impl Arrivals {
    /// Requests at `per_second` on average.
    ///
    /// # Errors
    /// If the rate is negative or not a number.
    pub fn new(per_second: f64, seed: u64) -> Result<Self, ExpError> {
        Ok(Self { gaps: Exp::new(per_second)?, random: StdRng::seed_from_u64(seed), at_s: 0.0 })
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.at_s += self.gaps.sample(&mut self.random);
        Duration::try_from_secs_f64(self.at_s).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_right_and_the_times_follow_from_the_seed() {
        let times = |seed| Arrivals::new(1000.0, seed).unwrap();
        let in_time = times(1).take_while(|at| *at < Duration::from_secs(100)).count();
        assert!((98_000..102_000).contains(&in_time), "{in_time}");
        assert!(times(1).take(100).eq(times(1).take(100)));
        assert!(!times(1).take(100).eq(times(2).take(100)));
    }
}

//! A count that halves as time goes by.

use crate::clock::{TICK_NS, Tick};

/// How many binary places a count has.
const PLACES: u32 = 8;

/// After so many ticks a count has halved: 1.07 seconds.
const HALF_LIFE: Tick = 64;

/// What is left of a count after each number of ticks below [`HALF_LIFE`], in parts of 2^32.
const LEFT: [u64; HALF_LIFE as usize] = {
    /// 2^(-1/64).
    const EACH: u64 = 4_248_701_965;
    let mut left = [1 << 32; HALF_LIFE as usize];
    let mut tick = 1;
    while tick < left.len() {
        left[tick] = (left[tick - 1] * EACH) >> 32;
        tick += 1;
    }
    left
};

/// A count that halves every 64 ticks (1.07 seconds).
///
/// At a steady rate it comes to 1.55 times the requests of a second, so it tells a rate, and a limit of it limits the
/// rate: who stands at the limit gets as much again as decays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Count(u32);

impl Count {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One request.
    pub const ONE: Self = Self(1 << PLACES);
    /// The highest count. As a limit it is none.
    pub const MAX: Self = Self(u32::MAX);

    /// Where a count comes to rest at so many requests per second; [`Self::MAX`] for more than ten million.
    pub const fn at_rate(per_s: u32) -> Self {
        // The mean life of a request in its count: the half-life divided by the natural logarithm of 2.
        const LIFE_NS: u64 = (HALF_LIFE * TICK_NS) * 10_000 / 6_931;
        let bits = ((per_s as u64 * LIFE_NS) << PLACES) / 1_000_000_000;
        Self(if bits > u32::MAX as u64 { u32::MAX } else { bits as u32 })
    }

    /// So many requests.
    pub const fn of(requests: u32) -> Self {
        Self(requests.saturating_mul(1 << PLACES))
    }

    /// The requests per second at which a count comes to rest here, rounded.
    pub const fn rate(self) -> u32 {
        let thousand = Self::at_rate(1_000).0 as u64;
        ((self.0 as u64 * 1_000 + thousand / 2) / thousand) as u32
    }

    /// What is left of it after so many ticks.
    #[must_use]
    pub const fn after(self, ticks: Tick) -> Self {
        let halvings = ticks / HALF_LIFE;
        if halvings >= u32::BITS as Tick {
            return Self::ZERO;
        }
        let left = (self.0 as u64 * LEFT[(ticks % HALF_LIFE) as usize]) >> 32;
        Self((left >> halvings) as u32)
    }

    /// The sum, at most [`Self::MAX`].
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, at least [`Self::ZERO`].
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// It, so many times; at most [`Self::MAX`].
    #[must_use]
    pub const fn times(self, factor: u32) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// That part of it; all of it for 0.
    #[must_use]
    pub const fn over(self, divisor: u32) -> Self {
        match self.0.checked_div(divisor) {
            Some(part) => Self(part),
            None => self,
        }
    }

    /// As a number, for atomics.
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// From that number.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_halves_in_a_half_life_and_comes_to_nothing() {
        let count = Count::of(1_000);
        assert_eq!(count.after(0), count);
        assert_eq!(count.after(HALF_LIFE), Count::of(500));
        assert_eq!(count.after(2 * HALF_LIFE), Count::of(250));
        assert_eq!(count.after(32 * HALF_LIFE), Count::ZERO);
        assert_eq!(count.after(Tick::MAX), Count::ZERO);
        let quarter = count.after(HALF_LIFE / 4).to_bits() as f64 / count.to_bits() as f64;
        assert!((quarter - 0.840_896).abs() < 1e-4, "{quarter}");
        assert!((0..1_000).map(|tick| count.after(tick)).rev().is_sorted());
    }

    #[test]
    fn a_count_rests_where_its_rate_says() {
        for per_s in [10, 100, 10_000] {
            let (mut count, mut owed) = (Count::ZERO, 0_u64);
            for _ in 0..64 * 20 {
                owed += per_s * TICK_NS;
                let requests = owed / 1_000_000_000;
                owed %= 1_000_000_000;
                count = count.after(1).plus(Count::of(requests as u32));
            }
            let rate = f64::from(count.to_bits()) / f64::from(Count::at_rate(1).to_bits());
            assert!((rate / per_s as f64 - 1.0).abs() < 0.06, "{rate} at {per_s}");
        }
    }

    #[test]
    fn rates_and_counts_are_each_others_inverse_and_end_at_the_highest() {
        for per_s in [0, 1, 7, 200, 1_000_000] {
            let rate = Count::at_rate(per_s).rate();
            assert!(per_s.abs_diff(rate) <= per_s / 500 + 1, "{rate} for {per_s}");
        }
        assert_eq!(Count::at_rate(u32::MAX), Count::MAX);
        assert_eq!(Count::MAX.plus(Count::ONE), Count::MAX);
        assert_eq!(Count::ONE.minus(Count::MAX), Count::ZERO);
    }
}

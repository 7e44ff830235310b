//! How many heads leave server mode, or come back, and when.

use crate::config::Ebb;
use std::time::Duration;

/// Decides, a step at a time, how many heads leave or come back.
#[derive(Debug)]
pub(super) struct Pace {
    config: Ebb,
    /// For how long the node has declined all reads, and for how long none, each less the other: what happens for a moment again
    /// and again neither makes heads leave nor keeps them away.
    declined_for: Duration,
    calm_for: Duration,
    /// What has been saved up for the next head, in parts of a head, and what that one costs.
    saved: u64,
    cost: u64,
}

/// What a step says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// Nothing changes.
    Stay,
    /// So many heads leave. Those that are to leave leave one after the other: at most of the steps it is none.
    Leave(usize),
    /// So many heads come back.
    Return(usize),
}

/// The node as it is at a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    /// It declines all reads.
    pub(super) declines: bool,
    pub(super) all: usize,
    /// Those of them that have left server mode.
    pub(super) away: usize,
}

impl Pace {
    pub(super) const fn new(config: Ebb) -> Self {
        Self { config, declined_for: Duration::ZERO, calm_for: Duration::ZERO, saved: 0, cost: 0 }
    }

    /// For how long the node has declined all reads.
    pub(super) const fn declined_for(&self) -> Duration {
        self.declined_for
    }

    /// `jitter_percent` is drawn anew for each step, from 0 to 100.
    pub(super) fn step(&mut self, elapsed: Duration, heads: Heads, jitter_percent: u32) -> Move {
        self.count(elapsed, heads.declines);
        let is_lasting = self.config.enabled && self.declined_for >= seconds(self.config.after_s);
        if heads.declines && is_lasting && heads.away < heads.all {
            return Move::leave(self.spend(elapsed, heads.all, 0).min(heads.all - heads.away));
        }
        if !heads.declines && self.is_calm() && heads.away > 0 {
            return Move::back(self.spend(elapsed, heads.all, jitter_percent).min(heads.away));
        }
        (self.saved, self.cost) = (0, 0);
        Move::Stay
    }

    fn count(&mut self, elapsed: Duration, declines: bool) {
        if declines {
            self.declined_for += elapsed;
            self.calm_for = self.calm_for.saturating_sub(elapsed);
            return;
        }
        self.calm_for = (self.calm_for + elapsed).min(seconds(self.config.calm_s));
        self.declined_for =
            if self.is_calm() { Duration::ZERO } else { self.declined_for.saturating_sub(elapsed) };
    }

    fn is_calm(&self) -> bool {
        self.calm_for >= seconds(self.config.calm_s)
    }

    /// How many heads the pace allows by now. A whole head costs an interval times 100 percent; with jitter, up to twice that.
    fn spend(&mut self, elapsed: Duration, heads: usize, jitter_percent: u32) -> usize {
        let whole = u64::from(self.config.interval_s.max(1)) * 1_000 * 100;
        if self.cost == 0 {
            self.cost = whole + whole * u64::from(jitter_percent) / 100;
        }
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let earned = (heads as u64).saturating_mul(u64::from(self.config.heads_percent));
        self.saved = self.saved.saturating_add(earned.saturating_mul(elapsed_ms));
        let count = self.saved / self.cost;
        if count > 0 {
            (self.saved, self.cost) = (self.saved % self.cost, 0);
        }
        usize::try_from(count).unwrap_or(usize::MAX)
    }
}

impl Move {
    const fn leave(heads: usize) -> Self {
        if heads == 0 { Self::Stay } else { Self::Leave(heads) }
    }

    const fn back(heads: usize) -> Self {
        if heads == 0 { Self::Stay } else { Self::Return(heads) }
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_secs(1);

    /// A node that declines during these seconds: how many of its heads are away after each second.
    fn away(heads: usize, seconds: u32, declines: impl Fn(u32) -> bool) -> Vec<usize> {
        let (mut pace, mut away) = (Pace::new(Ebb::default()), 0);
        (0..seconds)
            .map(|second| {
                let now = Heads { declines: declines(second), all: heads, away };
                match pace.step(STEP, now, second * 37 % 101) {
                    Move::Stay => {}
                    Move::Leave(left) => away += left,
                    Move::Return(back) => away -= back,
                }
                away
            })
            .collect()
    }

    #[test]
    fn heads_leave_after_ten_minutes_a_tenth_of_them_a_minute_one_by_one() {
        let away = away(100, 1_300, |_| true);
        assert_eq!((away[603], away[604]), (0, 1));
        for minute in 0..10 {
            let (before, after) = (away[598 + 60 * minute], away[598 + 60 * (minute + 1)]);
            assert!(after - before <= 10 && after >= 10 * minute, "{before} to {after} in minute {minute}");
        }
        assert!(away.windows(2).all(|two| two[1] - two[0] <= 1), "one by one");
        assert_eq!(*away.last().unwrap(), 100);
    }

    #[test]
    fn they_come_back_no_faster_and_not_in_step() {
        let away = away(100, 4_000, |second| second < 1_300);
        assert_eq!(away[1_300 + 58], 100, "not before a minute of calm");
        let back: Vec<usize> = (1..4_000).filter(|second| away[*second] < away[second - 1]).collect();
        assert_eq!((back.len(), *away.last().unwrap()), (100, 0));
        assert!(back.windows(10).all(|ten| ten[9] - ten[0] >= 54), "{back:?}");
        let gaps: std::collections::HashSet<usize> = back.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(gaps.len() >= 4, "{gaps:?}");
    }

    #[test]
    fn many_heads_leave_no_more_than_a_tenth_at_a_time_either() {
        let away = away(10_000, 1_300, |_| true);
        assert!(away.windows(61).all(|minute| minute[60] - minute[0] <= 1_001));
    }

    #[test]
    fn a_single_head_leaves_too_and_comes_back() {
        let away = away(1, 4_000, |second| second < 1_300);
        assert_eq!((away[1_190], away[1_250], *away.last().unwrap()), (0, 1, 0));
    }

    #[test]
    fn short_interruptions_do_not_begin_the_time_anew_and_calm_does() {
        assert!(*away(100, 900, |second| second % 10 > 0).last().unwrap() > 0);
        assert_eq!(*away(100, 1_100, |second| !(540..600).contains(&second)).last().unwrap(), 0);
    }

    #[test]
    fn declines_of_a_moment_neither_make_heads_leave_nor_keep_them_away() {
        let blips = |second: u32| second.is_multiple_of(50);
        assert_eq!(*away(100, 86_400, |second| second % 55 < 15).last().unwrap(), 0);
        let away = away(100, 6_000, |second| second < 1_300 || blips(second));
        assert_eq!((away[1_299], *away.last().unwrap()), (100, 0));
    }

    #[test]
    fn none_leaves_without_a_lasting_decline_or_if_it_is_switched_off() {
        assert_eq!(*away(100, 4_000, |_| false).last().unwrap(), 0);
        let mut pace = Pace::new(Ebb { enabled: false, ..Ebb::default() });
        let heads = Heads { declines: true, all: 100, away: 0 };
        assert!((0..4_000).all(|_| pace.step(STEP, heads, 0) == Move::Stay));
    }
}

//! How long and how large a run is.

use crate::trigger::Trigger;
use std::time::Duration;

/// The length of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    /// The rates of the steps of a curve, in multiples of the rate that saturates the server.
    pub(crate) multiples: &'static [f64],
    /// The keys that have a provider, and as many that have none.
    pub(crate) keys: u64,
    /// The providers of the hot key.
    pub(crate) hot_providers: u64,
    /// For how long the server is frozen before anything is measured, which fills the write queue.
    pub(crate) frozen: Duration,
    /// The load meanwhile, in requests per second.
    pub(crate) frozen_rate: f64,
    /// The time of a stair of the staircase: first a part that is not judged.
    pub(crate) stair: [Duration; 2],
    /// The time of a step before it is measured, and while it is.
    pub(crate) step: [Duration; 2],
    /// The load before a trigger: first a part that is not measured.
    pub(crate) before: [Duration; 2],
    /// How long a trigger lasts, but for a freeze.
    pub(crate) during: Duration,
    /// The load after a trigger and the time to recover from it.
    pub(crate) after: Duration,
    /// The arms whose curves are measured; all if empty.
    pub(crate) arms: &'static [&'static str],
    /// The triggers of each arm, by its name; the last entry is that of all other arms.
    pub(crate) triggers: &'static [(&'static str, &'static [Trigger])],
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const ALL_MULTIPLES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0];

impl Form {
    /// For the documentation: every arm, and every trigger with every arm that differs there.
    pub(crate) const FULL: Self = Self {
        multiples: &[0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0],
        keys: 1_000_000,
        hot_providers: 30_000,
        frozen: s(40),
        frozen_rate: 6_000.0,
        stair: [s(2), s(6)],
        step: [s(4), s(20)],
        before: [s(4), s(20)],
        during: s(30),
        after: s(20),
        arms: &[],
        triggers: &[("", Trigger::ALL)],
    };
    /// About a quarter of an hour: the curves of all arms, every trigger with the shipped default, and a freeze with the baselines.
    pub(crate) const SET: Self = Self {
        multiples: ALL_MULTIPLES,
        keys: 200_000,
        hot_providers: 30_000,
        frozen: s(4),
        frozen_rate: 6_000.0,
        stair: [s(1), s(4)],
        step: [s(1), s(5)],
        before: [s(1), s(6)],
        during: s(8),
        after: s(4),
        arms: &[],
        triggers: &[
            ("shipped", Trigger::ALL),
            ("token-bucket", &[Trigger::Freeze(10)]),
            ("no-gate", &[Trigger::Freeze(10), Trigger::Memory]),
            ("no-fairness", &[Trigger::AbusivePeer]),
            ("", &[]),
        ],
    };
    /// Below three minutes, for CI: the shipped default beside one baseline.
    pub(crate) const SHORT: Self = Self {
        multiples: &[1.0, 5.0],
        keys: 20_000,
        hot_providers: 1_000,
        frozen: s(2),
        frozen_rate: 1_000.0,
        stair: [s(1), s(2)],
        step: [s(1), s(5)],
        before: [s(2), s(8)],
        during: s(8),
        after: s(6),
        arms: &["shipped", "no-gate"],
        triggers: &[("", &[Trigger::Freeze(10)])],
    };

    /// The triggers of an arm.
    pub(crate) fn triggers_of(&self, arm: &str) -> &'static [Trigger] {
        let found = self.triggers.iter().find(|(of, _)| of.is_empty() || *of == arm);
        found.map_or(&[], |(_, triggers)| triggers)
    }

    /// Whether it has the curve of an arm.
    pub(crate) fn has(&self, arm: &str) -> bool {
        self.arms.is_empty() || self.arms.contains(&arm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_has_its_own_triggers_or_those_of_all_others() {
        assert_eq!(Form::SET.triggers_of("token-bucket"), [Trigger::Freeze(10)]);
        assert_eq!(Form::SET.triggers_of("no-batching"), []);
        assert_eq!(Form::FULL.triggers_of("no-batching"), Trigger::ALL);
        assert!(
            Form::SHORT.has("shipped") && !Form::SHORT.has("no-batching") && Form::SET.has("no-batching")
        );
    }
}

//! How often a policy gave which verdict.

use super::mode::PolicyMode;
use crate::sync::{add, read};
use hydra_api::{ReasonId, Rung, Verdict};
use hydra_striped::Striped;
use std::sync::atomic::{AtomicU64, Ordering};

/// The verdicts of one policy, but for admitting: that is what is left of the requests about which it was asked.
#[derive(Debug)]
pub(super) struct Tally {
    reasons: Box<[String]>,
    counts: Striped<Counts>,
    /// The most that was left when the counts were read. What is left is taken from counters that go on meanwhile, so it
    /// may come out a little less the next time; but what is counted never goes down.
    admitted: AtomicU64,
    panics: AtomicU64,
}

#[derive(Debug)]
struct Counts {
    degraded: [AtomicU64; Rung::ALL.len()],
    declined: [AtomicU64; ReasonId::COUNT_MAX],
    declined_otherwise: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            degraded: Default::default(),
            declined: [const { AtomicU64::new(0) }; ReasonId::COUNT_MAX],
            declined_otherwise: AtomicU64::new(0),
        }
    }
}

/// How often one policy gave one verdict for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdicts {
    /// The policy's name.
    pub policy: String,
    /// Whether its verdicts count.
    pub mode: PolicyMode,
    /// `admit`, `degrade`, `decline`, or `panic`, which counts as an admit.
    pub verdict: &'static str,
    /// Why it declined, "other" for reasons that it has not declared; the rung to which it degraded; empty when it
    /// admitted.
    pub reason: String,
    /// How often.
    pub count: u64,
}

impl Tally {
    /// A tally of a policy that declares these reasons; those past [`ReasonId::COUNT_MAX`] are counted as "other".
    pub(super) fn new(reasons: impl IntoIterator<Item = String>) -> Self {
        Self {
            reasons: reasons.into_iter().take(ReasonId::COUNT_MAX).collect(),
            counts: Striped::default(),
            admitted: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(super) fn count(&self, verdict: Verdict) {
        match verdict {
            Verdict::Admit => {}
            Verdict::Degrade(rung) => add(&self.counts.mine().degraded[rung.index()], 1),
            Verdict::Decline(reason) => {
                let counts = self.counts.mine();
                let index = usize::from(reason.0);
                let declared = if index < self.reasons.len() { counts.declined.get(index) } else { None };
                add(declared.unwrap_or(&counts.declined_otherwise), 1);
            }
        }
    }

    pub(super) fn count_panic(&self) {
        add(&self.panics, 1);
    }

    /// The word for a reason.
    pub(super) fn reason(&self, reason: ReasonId) -> &str {
        self.reasons.get(usize::from(reason.0)).map_or(OTHER, String::as_str)
    }

    pub(super) fn declined(&self) -> u64 {
        let of = |counts: &Counts| {
            counts.declined.iter().chain([&counts.declined_otherwise]).map(read).sum::<u64>()
        };
        self.counts.iter().map(of).sum()
    }

    fn degraded(&self) -> u64 {
        self.counts.iter().flat_map(|counts| &counts.degraded).map(read).sum()
    }

    /// Admitted, and what else has happened, of the requests about which the policy was `asked`.
    pub(super) fn lines(&self, policy: &str, mode: PolicyMode, asked: u64) -> Vec<Verdicts> {
        let line = |verdict, reason: &str, count| {
            let (policy, reason) = (policy.to_owned(), reason.to_owned());
            Verdicts { policy, mode, verdict, reason, count }
        };
        let left = asked.saturating_sub(self.degraded() + self.declined());
        let admitted = self.admitted.fetch_max(left, Ordering::Relaxed).max(left);
        let mut lines = vec![line("admit", "", admitted)];
        for rung in Rung::ALL {
            let count = self.counts.sum(|counts| &counts.degraded[rung.index()]);
            lines.push(line("degrade", rung.as_str(), count));
        }
        for (index, reason) in self.reasons.iter().enumerate() {
            lines.push(line("decline", reason, self.counts.sum(|counts| &counts.declined[index])));
        }
        lines.push(line("decline", OTHER, self.counts.sum(|counts| &counts.declined_otherwise)));
        lines.push(line("panic", "", read(&self.panics)));
        lines.retain(|line| line.verdict == "admit" || line.count > 0);
        lines
    }
}

/// The word for reasons that a policy has not declared.
const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_admitted_never_goes_down() {
        let tally = Tally::new(["too_much".to_owned()]);
        let admitted = |asked| tally.lines("policy", PolicyMode::Enforce, asked)[0].count;
        assert_eq!(admitted(10), 10);
        // As when it declines between the two counters' being read.
        tally.count(Verdict::Decline(ReasonId(0)));
        assert_eq!(admitted(10), 10);
        assert_eq!(admitted(12), 11);
    }

    #[test]
    fn reasons_that_were_not_declared_are_counted_as_other() {
        let tally = Tally::new((0..100).map(|number| number.to_string()));
        for reason in [0, 63, 64, u16::MAX] {
            tally.count(Verdict::Decline(ReasonId(reason)));
        }
        let lines = tally.lines("policy", PolicyMode::Enforce, 4);
        let declines: Vec<_> = lines[1..].iter().map(|line| (line.reason.as_str(), line.count)).collect();
        assert_eq!(declines, [("0", 1), ("63", 1), ("other", 2)]);
        assert_eq!((tally.reason(ReasonId(63)), tally.reason(ReasonId(64))), ("63", "other"));
    }
}

//! How often a policy gave which verdict.

use crate::chain::PolicyMode;
use hydra_api::{Reason, Rung, Verdict};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many reasons of one policy are counted apart; further ones are counted as one. A policy has few.
const REASONS_MAX: usize = 8;

/// The verdicts of one policy, but for admitting: that is what is left of the requests about which it was asked.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// The most that was left when somebody asked. What is left is taken from counters that go on meanwhile, so it may
    /// come out a little less the next time; but what is counted never goes down.
    admitted: AtomicU64,
    degraded: [AtomicU64; Rung::ALL.len()],
    declined: [(OnceLock<Reason>, AtomicU64); REASONS_MAX],
    declined_otherwise: AtomicU64,
}

/// How often one policy gave one verdict for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdicts {
    /// The policy's name.
    pub policy: String,
    /// Whether its verdicts count.
    pub mode: PolicyMode,
    /// `admit`, `degrade` or `decline`.
    pub verdict: &'static str,
    /// Why it declined, "other" for reasons beyond its first eight; the rung to which it degraded; nothing when it
    /// admitted.
    pub reason: &'static str,
    /// How often.
    pub count: u64,
}

impl Tally {
    #[inline]
    pub(crate) fn count(&self, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Admit => return,
            Verdict::Degrade(rung) => &self.degraded[rung as usize],
            Verdict::Decline(reason) => self.of(reason),
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, reason: Reason) -> &AtomicU64 {
        let known = self.declined.iter().find(|(known, _)| *known.get_or_init(|| reason) == reason);
        known.map_or(&self.declined_otherwise, |(_, count)| count)
    }

    pub(crate) fn declined(&self) -> u64 {
        let reasons = self.declined.iter().map(|(_, count)| count);
        reasons.chain([&self.declined_otherwise]).map(read).sum()
    }

    fn degraded(&self) -> u64 {
        self.degraded.iter().map(read).sum()
    }

    /// Admitted, and what else has happened, of the requests about which the policy was `asked`.
    pub(crate) fn read(&self, policy: &str, mode: PolicyMode, asked: u64) -> Vec<Verdicts> {
        let line =
            |verdict, reason, count| Verdicts { policy: policy.to_owned(), mode, verdict, reason, count };
        let left = asked.saturating_sub(self.degraded() + self.declined());
        let admitted = self.admitted.fetch_max(left, Ordering::Relaxed).max(left);
        let mut lines = vec![line("admit", "", admitted)];
        for rung in Rung::ALL {
            lines.push(line("degrade", rung.as_str(), read(&self.degraded[rung as usize])));
        }
        for (reason, count) in &self.declined {
            let Some(reason) = reason.get() else { break };
            lines.push(line("decline", reason.0, read(count)));
        }
        lines.push(line("decline", "other", read(&self.declined_otherwise)));
        lines.retain(|line| line.verdict == "admit" || line.count > 0);
        lines
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_admitted_never_goes_down() {
        let tally = Tally::default();
        let admitted = |asked| tally.read("policy", PolicyMode::Enforce, asked)[0].count;
        assert_eq!(admitted(10), 10);
        // As when it declines between the two counters' being read.
        tally.count(Verdict::Decline(Reason("too_much")));
        assert_eq!(admitted(10), 10);
        assert_eq!(admitted(12), 11);
    }
}

//! How often a policy gave which verdict.

use crate::chain::PolicyMode;
use hydra_api::{Reason, Rung, Verdict};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many reasons of one policy are counted apart; further ones are counted as one. A policy has few.
const REASONS_MAX: usize = 8;

/// The verdicts of one policy.
#[derive(Debug, Default)]
pub(crate) struct Tally {
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
    pub(crate) fn count(&self, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Admit => &self.admitted,
            Verdict::Degrade(rung) => &self.degraded[rung as usize],
            Verdict::Decline(reason) => self.of(reason),
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, reason: Reason) -> &AtomicU64 {
        let known = self.declined.iter().find(|(known, _)| *known.get_or_init(|| reason) == reason);
        known.map_or(&self.declined_otherwise, |(_, count)| count)
    }

    /// Admitted, and what else has happened.
    pub(crate) fn read(&self, policy: &str, mode: PolicyMode) -> Vec<Verdicts> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let line =
            |verdict, reason, count| Verdicts { policy: policy.to_owned(), mode, verdict, reason, count };
        let mut lines = vec![line("admit", "", read(&self.admitted))];
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

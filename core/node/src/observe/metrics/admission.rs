//! Verdicts of the admission policies.

use super::page::Page;
use hydra_engine::Snapshot;
use std::collections::BTreeMap;
use std::fmt;

/// The verdicts that each policy is shown with from the start. Reasons are the policies' own; each is shown once it has
/// occurred, those that a policy has not declared as "other".
const ALWAYS: [(&str, &str); 3] = [("admit", ""), ("degrade", "short"), ("decline", "other")];

pub(super) fn write(engine: &Snapshot, page: &mut Page<'_>) -> fmt::Result {
    // Policies of one kind go by one name, and there is no series twice.
    let mut counts: BTreeMap<(&str, &str, &str, &str), u64> = BTreeMap::new();
    for line in &engine.verdicts {
        let (policy, mode) = (line.policy.as_str(), line.mode.as_str());
        for (verdict, reason) in ALWAYS {
            counts.entry((policy, mode, verdict, reason)).or_default();
        }
        *counts.entry((policy, mode, line.verdict, line.reason.as_str())).or_default() += line.count;
    }
    page.counters(
        "hydra_admission_verdicts_total",
        "Verdicts of the admission policies. Those in shadow mode are counted but have no effect; \"panic\" counts as an admit.",
        counts.into_iter().map(|((policy, mode, verdict, reason), count)| {
            ([("policy", policy), ("mode", mode), ("verdict", verdict), ("reason", reason)], count)
        }),
    )
}

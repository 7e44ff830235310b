//! What the admission policies said.

use super::page::Page;
use hydra_engine::Snapshot;
use std::collections::BTreeMap;
use std::fmt;

/// The verdicts that each policy is told with from the start. Reasons are the policies' own; each is told once it has
/// come, those beyond a policy's first eight as "other".
const ALWAYS: [(&str, &str); 3] = [("admit", ""), ("degrade", "short"), ("decline", "other")];

pub(super) fn write(engine: &Snapshot, page: &mut Page<'_>) -> fmt::Result {
    // Policies of one kind go by one name, and there is no series twice.
    let mut counts: BTreeMap<(&str, &str, &str, &str), u64> = BTreeMap::new();
    for told in &engine.verdicts {
        let (policy, mode) = (told.policy.as_str(), told.mode.as_str());
        for (verdict, reason) in ALWAYS {
            counts.entry((policy, mode, verdict, reason)).or_default();
        }
        *counts.entry((policy, mode, told.verdict, told.reason)).or_default() += told.count;
    }
    page.counters(
        "hydra_admission_verdicts_total",
        "Verdicts of the admission policies; those in shadow are counted and do not act.",
        counts.into_iter().map(|((policy, mode, verdict, reason), count)| {
            ([("policy", policy), ("mode", mode), ("verdict", verdict), ("reason", reason)], count)
        }),
    )
}

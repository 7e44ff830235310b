//! Cases on the reasons of declines: A7.

use super::{ADMITTED_MAX, Gate, some_time};
use crate::check::{Kept, Outcome, ensure, ensure_eq};
use crate::given::peer;
use crate::place::Lab;
use hydra_api::{Admission, ReasonId, Verdict};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The longest reason: it is a label of a metric.
const LEN_MAX: usize = 40;

pub(super) async fn a7_every_reason_is_declared(lab: Arc<Lab<Admission>>) -> Outcome {
    let gate = Gate::open(&lab).await?;
    let reasons = gate.policy.reasons();
    let count = reasons.len();
    ensure!(count <= ReasonId::COUNT_MAX, "{count} reasons are more than {}", ReasonId::COUNT_MAX);
    let different: BTreeSet<_> = reasons.iter().collect();
    ensure_eq!(different.len(), count, "how many of {count} reasons differ");
    for reason in &reasons {
        let plain = reason.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        let fits = reason.starts_with(|first: char| first.is_ascii_lowercase()) && reason.len() <= LEN_MAX;
        ensure!(plain && fits, "the reason {reason:?} is not a short word in snake_case");
        ensure!(
            reason != "other",
            "the reason `other` is that of the node, for what a policy did not declare"
        );
    }
    let now = some_time();
    let mut declines = 0;
    for number in 0..=ADMITTED_MAX {
        // One peer that asks on and on, and others in between.
        let number = if number % 10 == 0 { number } else { 1 };
        let request = gate.request(peer(number), super::address(number));
        if let Verdict::Decline(ReasonId(reason)) = gate.policy.admit(&request, &gate.load, now).verdict {
            ensure!(
                usize::from(reason) < count,
                "it declines for the reason {reason}, and declares {count} of them"
            );
            declines += 1;
            if declines > 2000 {
                break;
            }
        }
    }
    ensure!(declines > 0, "nothing was declined");
    ensure_eq!(gate.policy.reasons(), reasons, "the reasons, asked again");
    Ok(Kept::Shown)
}

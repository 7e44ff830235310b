//! The figures of the tiers: those that each publishes, told apart by its place in the list, and whether it is in use.

use crate::tiers::Tiers;
use hydra_api::{Metric, ProviderStore};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The label that has the place of a tier, from 0.
const TIER: &str = "tier";

/// The figures of all tiers that are open.
pub(crate) fn of(tiers: &Tiers) -> Vec<Metric> {
    let uppers = tiers.uppers.iter().enumerate();
    let in_use = uppers.clone().map(|(place, upper)| {
        let help = "1 for an upper tier that is open and called; 0 for one that is left alone because it fails, or not open yet.";
        let is_used = if upper.in_use().is_some() { 1.0 } else { 0.0 };
        Metric::gauge("db_tier_in_use", help, is_used).with(TIER, place.to_string())
    });
    let opened = uppers.filter_map(|(place, upper)| Some((place, upper.open()?)));
    let last = (tiers.uppers.len(), &*tiers.last);
    // The last one first: where there are too many series, those of the tier that decides are not the ones to go.
    let published = [last].into_iter().chain(opened).flat_map(|(place, store)| published(place, store));
    in_use.chain(published).collect()
}

/// What one tier publishes. One that panics has published nothing, and the others are heard.
fn published(place: usize, store: &dyn ProviderStore) -> Vec<Metric> {
    let metrics = catch_unwind(AssertUnwindSafe(|| store.metrics())).unwrap_or_default();
    metrics.into_iter().map(|metric| placed(place, metric)).collect()
}

/// Tells where a series comes from: a tier that has tiers itself adds its own place.
fn placed(place: usize, mut metric: Metric) -> Metric {
    match metric.labels.iter_mut().find(|(label, _)| *label == TIER) {
        Some((_, below)) => *below = format!("{place}-{below}").into(),
        None => return metric.with(TIER, place.to_string()),
    }
    metric
}

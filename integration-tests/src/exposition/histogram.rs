//! What makes a histogram one.

use super::{Family, Labels};
use std::collections::BTreeMap;

/// What is told of one histogram.
#[derive(Debug, Default)]
struct One {
    sum: Option<f64>,
    count: Option<f64>,
    /// Bounds and counts, in the order in which they came.
    buckets: Vec<(f64, f64)>,
}

/// Checks each histogram of the family: that it is whole, that its bounds rise to infinity and its counts with them.
pub(super) fn check(family: &Family) -> Result<(), String> {
    let mut all: BTreeMap<Labels, One> = BTreeMap::new();
    let mut before = None;
    for (name, labels, value) in &family.samples {
        let mut labels = labels.clone();
        let bound = labels.remove("le");
        if before.as_ref() != Some(&labels) && all.contains_key(&labels) {
            return Err(format!("{}: a histogram is scattered: {labels:?}", family.name));
        }
        before = Some(labels.clone());
        let one = all.entry(labels).or_default();
        match (name.rsplit('_').next(), bound) {
            (Some("sum"), None) => one.sum = Some(*value),
            (Some("count"), None) => one.count = Some(*value),
            (_, Some(bound)) => one.buckets.push((canonical(&bound)?, *value)),
            _ => return Err(format!("{name} is no part of a histogram")),
        }
    }
    for (labels, one) in all {
        let rising = one.buckets.is_sorted_by(|(bound, count), (next, more)| bound < next && count <= more);
        let last = one.buckets.last().copied();
        let (Some(count), Some(_)) = (one.count, one.sum) else {
            return Err(format!("{} has no sum or no count: {labels:?}", family.name));
        };
        if !rising || last != Some((f64::INFINITY, count)) {
            return Err(format!("{} does not rise to its count: {labels:?}", family.name));
        }
    }
    Ok(())
}

/// A bound as OpenMetrics wants it written: `0.005`, `1.0`, `+Inf`.
fn canonical(bound: &str) -> Result<f64, String> {
    let number: f64 = bound.parse().map_err(|_| format!("{bound} is no bound"))?;
    let written = if number == f64::INFINITY { "+Inf".to_owned() } else { format!("{number:?}") };
    if written == bound { Ok(number) } else { Err(format!("the bound {written} is written {bound}")) }
}

//! What a store publishes, for tests that look at single figures.

use hydra_api::metrics::well_formed;
use hydra_api::{Figure, ProviderStore};

/// The figures of this name that have these labels, added up: of a histogram, how many it has.
///
/// # Panics
/// If a series is malformed, or a figure is of a type that cannot be added up.
pub fn figure(store: &dyn ProviderStore, name: &str, labels: &[(&str, &str)]) -> f64 {
    let (taken, refused) = well_formed(store.metrics());
    assert_eq!(refused, []);
    let of_name = taken.iter().filter(|metric| metric.name == name);
    let fitting =
        of_name.filter(|metric| labels.iter().all(|(label, value)| metric.label(label) == Some(value)));
    let figures = fitting.map(|metric| match &metric.figure {
        Figure::Counter(count) => *count as f64,
        Figure::Gauge(value) => *value,
        Figure::Histogram(buckets) => buckets.count() as f64,
        other => panic!("{other:?}"),
    });
    figures.sum()
}

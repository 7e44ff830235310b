//! Figures that a store publishes of itself.
//!
//! A store counts where its things happen, in atomics, and says what it has counted when it is asked
//! ([`ProviderStore::metrics`](crate::ProviderStore::metrics)). The node asks at each scrape, and writes the figures down beside
//! its own with a label `store` that has the kind of the store. It leaves out what is not well-formed.

mod check;
mod histogram;

pub use check::{MetricError, Refused, well_formed};
pub use histogram::{Buckets, Histogram};

use std::borrow::Cow;

/// One series of figures.
///
/// ```
/// use hydra_api::Metric;
///
/// let idle = Metric::gauge("db_client_connections", "Connections by state.", 3.0).with("state", "idle");
/// assert!(idle.check().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// The name of its family: `db_`, then words with `_` between them. Names that OpenTelemetry's semantic conventions have
    /// for database clients are used for what they stand for. The unit comes last, and a counter then ends in `_total`.
    pub name: &'static str,
    /// What the family is, in one line. That of the first series of a family counts.
    pub help: &'static str,
    /// What tells the series of a family apart: few values that are known beforehand. No peer, key, address or error text.
    pub labels: Vec<(&'static str, Cow<'static, str>)>,
    /// The figure.
    pub figure: Figure,
}

/// What a series says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Figure {
    /// How often something has happened. It never falls while the store is open.
    Counter(u64),
    /// How much there is now.
    Gauge(f64),
    /// How often something had a size or a duration. None of its counts falls while the store is open.
    Histogram(Buckets),
}

impl Metric {
    /// Samples of all series of a store. A histogram has one for each bucket, and two more.
    pub const SAMPLES_MAX: usize = 1_000;
    /// Labels of a series.
    pub const LABELS_MAX: usize = 6;
    /// Bytes of a label's value.
    pub const VALUE_LEN_MAX: usize = 32;

    /// How often something has happened.
    pub const fn counter(name: &'static str, help: &'static str, count: u64) -> Self {
        Self { name, help, labels: Vec::new(), figure: Figure::Counter(count) }
    }

    /// How much there is now.
    pub const fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, labels: Vec::new(), figure: Figure::Gauge(value) }
    }

    /// How often something had a size or a duration.
    pub const fn histogram(name: &'static str, help: &'static str, buckets: Buckets) -> Self {
        Self { name, help, labels: Vec::new(), figure: Figure::Histogram(buckets) }
    }

    /// The same series with one label more.
    #[must_use]
    pub fn with(mut self, label: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.labels.push((label, value.into()));
        self
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| value.as_ref())
    }

    /// How many samples a scrape has of it.
    pub fn samples(&self) -> usize {
        match &self.figure {
            Figure::Counter(_) | Figure::Gauge(_) => 1,
            Figure::Histogram(buckets) => buckets.counts.len() + 2,
        }
    }

    /// Whether it is well-formed.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self) -> Result<(), MetricError> {
        check::metric(self)
    }
}

#[cfg(test)]
mod tests;

//! Which series are well-formed.

use super::{Figure, Metric};
use std::collections::{HashMap, HashSet};
use std::mem::{Discriminant, discriminant};
use std::net::IpAddr;

/// Bytes of the name of a family or a label.
const NAME_LEN_MAX: usize = 64;
/// Bytes of a help text.
const HELP_LEN_MAX: usize = 300;
/// Buckets of a histogram.
const BUCKETS_MAX: usize = 32;
/// What the node or the format of a scrape adds to a name, or has other uses for.
const SUFFIXES: [&str; 6] = ["_total", "_count", "_sum", "_bucket", "_info", "_created"];
/// Labels that the node or the format of a scrape adds.
const LABELS: [&str; 3] = ["store", "le", "quantile"];

/// Why a series is not well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// The name.
    #[error("the name is not `db_` and words in lower case, or does not end as its type does")]
    Name,
    /// The help text.
    #[error("the help text is empty, too long or not one plain line")]
    Help,
    /// The labels.
    #[error("there are too many labels, or one has no valid name or comes twice")]
    Label,
    /// The value of a label.
    #[error("the value of a label is not a short word")]
    Value,
    /// The figure.
    #[error("the value is not a number, or a histogram has no valid buckets")]
    Figure,
    /// Another series has the same name and labels.
    #[error("the series comes twice")]
    Twice,
    /// Another series of the same name, `_total` apart, is of another type, or has other buckets.
    #[error("the series is of another type than others of its name")]
    Type,
    /// There are too many.
    #[error("there are more than {} samples", Metric::SAMPLES_MAX)]
    TooMany,
}

/// A series that is left out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Refused {
    /// The series.
    pub metric: Metric,
    /// Why.
    pub because: MetricError,
}

/// The series that are well-formed, each of them and all together, in their order; and those that are not.
pub fn well_formed(metrics: Vec<Metric>) -> (Vec<Metric>, Vec<Refused>) {
    let (mut taken, mut refused) = (Vec::with_capacity(metrics.len().min(Metric::SAMPLES_MAX)), Vec::new());
    let mut all = All::default();
    for metric in metrics {
        match metric.check().and_then(|()| all.admit(&metric)) {
            Ok(()) => taken.push(metric),
            Err(because) => refused.push(Refused { metric, because }),
        }
    }
    (taken, refused)
}

/// What was taken.
#[derive(Default)]
struct All {
    samples: usize,
    types: HashMap<&'static str, (Discriminant<Figure>, Option<&'static [f64]>)>,
    series: HashSet<(&'static str, Vec<(&'static str, String)>)>,
}

impl All {
    fn admit(&mut self, metric: &Metric) -> Result<(), MetricError> {
        let bounds = match &metric.figure {
            Figure::Histogram(buckets) => Some(buckets.bounds),
            Figure::Counter(_) | Figure::Gauge(_) => None,
        };
        let of_type = (discriminant(&metric.figure), bounds);
        if self.samples + metric.samples() > Metric::SAMPLES_MAX {
            return Err(MetricError::TooMany);
        }
        // A counter is of the family without `_total` (OpenMetrics, *Counter*).
        let family = metric.name.strip_suffix("_total").unwrap_or(metric.name);
        if self.types.get(family).is_some_and(|known| *known != of_type) {
            return Err(MetricError::Type);
        }
        let mut labels: Vec<_> =
            metric.labels.iter().map(|(label, value)| (*label, value.clone().into_owned())).collect();
        labels.sort_unstable();
        if !self.series.insert((metric.name, labels)) {
            return Err(MetricError::Twice);
        }
        self.samples += metric.samples();
        self.types.insert(family, of_type);
        Ok(())
    }
}

pub(super) fn metric(metric: &Metric) -> Result<(), MetricError> {
    let Metric { name, help, labels, figure } = metric;
    let (stem, is_counter) = match name.strip_suffix("_total") {
        Some(stem) => (stem, true),
        None => (*name, false),
    };
    let is_reserved = SUFFIXES.iter().any(|suffix| stem.ends_with(suffix));
    if !stem.starts_with("db_") || !is_word(stem) || is_reserved || is_counter != is_counted(figure) {
        return Err(MetricError::Name);
    }
    let is_plain = |char: char| !char.is_control() && char != '\\' && char != '"';
    if help.trim() != *help || help.is_empty() || help.len() > HELP_LEN_MAX || !help.chars().all(is_plain) {
        return Err(MetricError::Help);
    }
    let mut names = HashSet::new();
    let is_label = |label: &str| is_word(label) && !LABELS.contains(&label);
    if labels.len() > Metric::LABELS_MAX
        || !labels.iter().all(|(label, _)| is_label(label) && names.insert(*label))
    {
        return Err(MetricError::Label);
    }
    if !labels.iter().all(|(_, value)| is_value(value)) {
        return Err(MetricError::Value);
    }
    if is_figure(figure) { Ok(()) } else { Err(MetricError::Figure) }
}

const fn is_counted(figure: &Figure) -> bool {
    matches!(figure, Figure::Counter(_))
}

/// Lower case, digits and single `_`, beginning with a letter.
fn is_word(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    name.len() <= NAME_LEN_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.split('_').all(is_part)
}

/// A short word that is no address. Ids of peers and content keys are longer.
fn is_value(value: &str) -> bool {
    value.len() <= Metric::VALUE_LEN_MAX
        && !value.is_empty()
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.+".contains(&byte))
        && value.parse::<IpAddr>().is_err()
}

fn is_figure(figure: &Figure) -> bool {
    match figure {
        Figure::Counter(_) => true,
        Figure::Gauge(value) => value.is_finite(),
        Figure::Histogram(buckets) => {
            buckets.sum.is_finite()
                && buckets.sum >= 0.0
                && (1..=BUCKETS_MAX).contains(&buckets.bounds.len())
                && buckets.counts.len() == buckets.bounds.len() + 1
                && buckets.bounds.iter().all(|bound| bound.is_finite())
                && buckets.bounds.is_sorted_by(|one, next| one < next)
        }
    }
}

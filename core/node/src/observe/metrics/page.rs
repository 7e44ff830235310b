//! Families of metrics, written down by the names under which they are queried.

use hydra_api::{Buckets, Figure};
use hydra_engine::Latency;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use std::fmt;
use std::time::Duration;

/// The labels of one series.
pub(super) type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// The labels of a series of a plugin.
pub(super) type ForeignLabels<'a> = Vec<(&'a str, &'a str)>;

/// Units that a name may end in.
const UNITS: [Unit; 2] = [Unit::Seconds, Unit::Bytes];

/// A page that is being written. Names are given in full, `hydra_wire_bytes_total` for example; what OpenMetrics wants
/// to be told apart, the unit and the suffix of the type, is taken from them.
#[derive(Debug)]
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl<'a> Page<'a> {
    pub(super) const fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    pub(super) fn counter(
        &mut self,
        name: &'static str,
        help: &str,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        self.counters(name, help, [([], value)])
    }

    pub(super) fn counters<'l, const N: usize, V: EncodeCounterValue>(
        &mut self,
        name: &'static str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, series, |metric, value| {
            metric.encode_counter::<NoLabelSet, V, f64>(value, None)
        })
    }

    pub(super) fn gauge(
        &mut self,
        name: &'static str,
        help: &str,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.gauges(name, help, [([], value)])
    }

    pub(super) fn gauges<'l, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &'static str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, series, |metric, value| metric.encode_gauge(value))
    }

    /// Histograms in seconds.
    pub(super) fn histograms<'l, const N: usize>(
        &mut self,
        name: &'static str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l, N>, Latency)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Histogram, series, |metric, latency| {
            let buckets: Vec<_> =
                latency.buckets.iter().map(|(bound, count)| (seconds(*bound), *count)).collect();
            let sum = latency.sum.as_secs_f64();
            metric.encode_histogram::<NoLabelSet>(sum, latency.count(), &buckets, None)
        })
    }

    /// Counters of a plugin; figures of other types are left out.
    pub(super) fn foreign_counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (ForeignLabels<'l>, &'l Figure)>,
    ) -> fmt::Result {
        let series = series.into_iter().filter_map(|(labels, figure)| match figure {
            Figure::Counter(count) => Some((labels, *count)),
            _ => None,
        });
        self.family(name, help, MetricType::Counter, series, |metric, count| {
            metric.encode_counter::<NoLabelSet, u64, f64>(count, None)
        })
    }

    /// Gauges of a plugin; figures of other types are left out.
    pub(super) fn foreign_gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (ForeignLabels<'l>, &'l Figure)>,
    ) -> fmt::Result {
        let series = series.into_iter().filter_map(|(labels, figure)| match figure {
            Figure::Gauge(value) => Some((labels, *value)),
            _ => None,
        });
        self.family(name, help, MetricType::Gauge, series, |metric, value| metric.encode_gauge(value))
    }

    /// Histograms of a plugin; figures of other types are left out.
    pub(super) fn foreign_histograms<'l>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (ForeignLabels<'l>, &'l Figure)>,
    ) -> fmt::Result {
        let series = series.into_iter().filter_map(|(labels, figure)| match figure {
            Figure::Histogram(buckets) => Some((labels, buckets)),
            _ => None,
        });
        self.family(name, help, MetricType::Histogram, series, |metric, buckets: &&Buckets| {
            let bounds = buckets.bounds.iter().copied().chain([f64::INFINITY]);
            let counts: Vec<_> = bounds.zip(buckets.counts.iter().copied()).collect();
            metric.encode_histogram::<NoLabelSet>(buckets.sum, buckets.count(), &counts, None)
        })
    }

    pub(super) fn info<const N: usize>(
        &mut self,
        name: &'static str,
        help: &str,
        labels: Labels<'_, N>,
    ) -> fmt::Result {
        let none: Labels<'_, 0> = [];
        self.family(name, help, MetricType::Info, [(none, labels)], |metric, labels| {
            metric.encode_info(labels)
        })
    }

    /// A family without series is left out.
    fn family<L: LabelSet, V>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        series: impl IntoIterator<Item = (L, V)>,
        write: impl Fn(&mut MetricEncoder<'_>, &V) -> fmt::Result,
    ) -> fmt::Result {
        let suffix = match kind {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            MetricType::Gauge | MetricType::Histogram | MetricType::Unknown => "",
        };
        let mut series = series.into_iter().peekable();
        if series.peek().is_none() {
            return Ok(());
        }
        let Some(name) = name.strip_suffix(suffix) else { return Err(fmt::Error) };
        let unit_of = |unit: &Unit| name.strip_suffix(unit.as_str())?.strip_suffix('_');
        let (name, unit) =
            UNITS.iter().find_map(|unit| Some((unit_of(unit)?, Some(unit)))).unwrap_or((name, None));
        let mut family = self.0.encode_descriptor(name, help, unit, kind)?;
        for (labels, value) in series {
            if labels.is_none() {
                write(&mut family, &value)?;
            } else {
                write(&mut family.encode_family(&labels)?, &value)?;
            }
        }
        Ok(())
    }
}

/// The labels of a series, however they are kept.
trait LabelSet: EncodeLabelSet {
    /// True if there are none.
    fn is_none(&self) -> bool;
}

impl<const N: usize> LabelSet for Labels<'_, N> {
    fn is_none(&self) -> bool {
        N == 0
    }
}

impl LabelSet for ForeignLabels<'_> {
    fn is_none(&self) -> bool {
        self.is_empty()
    }
}

fn seconds(bound: Duration) -> f64 {
    if bound == Duration::MAX { f64::INFINITY } else { bound.as_secs_f64() }
}

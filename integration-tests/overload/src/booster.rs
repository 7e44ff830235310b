//! What hydra-booster did under the same load: version 0.7.4 over PostgreSQL with a quarter of a core.

/// The rate that saturates it, in requests per second.
pub(crate) const SATURATED_AT: f64 = 1_430.0;

/// Its name in charts.
pub(crate) const NAME: &str = "hydra-booster 0.7.4";

/// Medians of its latencies, in milliseconds, by the multiple of the rate that saturates it.
pub(crate) const P50_MS: [(f64, f64); 2] = [(2.2, 4_500.0), (4.5, 5_400.0)];

/// The 99th percentile.
pub(crate) const P99_MS: [(f64, f64); 1] = [(4.5, 9_400.0)];

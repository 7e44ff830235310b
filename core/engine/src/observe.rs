//! What is counted, logged and traced.

mod report;
mod request_trace;
mod snapshot;
mod stats;
pub mod trace;

pub(crate) use report::{Reports, shortened};
pub(crate) use request_trace::{Departure, RequestTrace};
pub use snapshot::{
    Background, EstimateNow, Gauge, Health, LaneCount, Pause, Reads, RequestCount, RungCount, Snapshot,
    Statements, ValueCounts, Writes,
};
pub(crate) use stats::Stats;
pub use stats::StoreCall;
pub(crate) use trace::Tracer;

//! What operators see of a node: pages over HTTP, metrics, traces, and what is logged of failures that repeat.

pub(crate) mod failure_log;
pub(crate) mod http;
pub(crate) mod lease_view;
pub(crate) mod log_limit;
pub(crate) mod metrics;
pub(crate) mod node_view;
pub(crate) mod otlp;
pub(crate) mod store_opening;
pub(crate) mod traces;

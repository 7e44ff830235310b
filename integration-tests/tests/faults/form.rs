//! How long the phases of a scenario take, how much is asked, and what is demanded.

use std::time::Duration;

/// How a scenario is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    /// Requests of the mixed load per second.
    pub(crate) per_second: f64,
    /// Requests of the client that asks FIND_NODE alone per second.
    pub(crate) finds_per_second: u32,
    /// How long all is well first.
    pub(crate) before: Duration,
    /// How long the fault lasts.
    pub(crate) during: Duration,
    /// For how long the node must stay well before it counts as back.
    pub(crate) calm: Duration,
    /// How often the node is looked at.
    pub(crate) look: Duration,
    /// Settings of the node on top of the shipped ones.
    pub(crate) settings: &'static [&'static str],
    pub(crate) bounds: Bounds,
}

/// What is demanded of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The 99th percentile of FIND_NODE in each phase, on a machine that does nothing else.
    pub(crate) find_p99: Option<Duration>,
    /// How often one warning may be in the log: once, and once more when the fault came in two steps.
    pub(crate) repeats: usize,
    /// From the end of the cause until the node is ready and on the rung "full" for good.
    pub(crate) back: Duration,
    /// The latency above which an answer is late.
    pub(crate) late_after: Duration,
    /// By how much the memory of the node may have grown in the end, and its descriptors.
    pub(crate) grown_bytes: u64,
    pub(crate) grown_descriptors: usize,
}

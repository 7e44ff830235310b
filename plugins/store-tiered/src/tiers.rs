//! The tiers of a store, and what this process knows of them.

use crate::addresses::KnownAddresses;
use crate::config::Writes;
use crate::marks::Since;
use crate::report::Report;
use crate::upper::Upper;
use hydra_api::ProviderStore;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The tiers, and what this process knows of them.
#[derive(Debug)]
pub(crate) struct Tiers {
    /// Fastest first.
    pub(crate) uppers: Vec<Upper>,
    /// The tier that decides.
    pub(crate) last: Arc<dyn ProviderStore>,
    /// Reads of the last tier for the rest of a call, part of which upper tiers have answered.
    pub(crate) rest_of_reads: Report,
    /// The newest addresses of providers.
    pub(crate) addresses: KnownAddresses,
    pub(crate) writes: Writes,
    pub(crate) times: Times,
    pub(crate) doubts: Doubts,
}

/// The time limits of calls of upper tiers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) read_max: Duration,
    pub(crate) write_max: Duration,
    pub(crate) fill_max: Duration,
}

/// Numbers doubts, so that it can be told what came first. A doubt is raised after the write that causes it has ended at the
/// last tier: a read that begins after it finds what was written.
#[derive(Debug, Default)]
pub(crate) struct Doubts(AtomicU64);

impl Doubts {
    /// The number of the latest one.
    pub(crate) fn latest(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// The number of a new one.
    pub(crate) fn raise(&self) -> u64 {
        self.0.fetch_add(1, Ordering::AcqRel) + 1
    }
}

impl Tiers {
    /// The present, for each upper tier. To be asked before a tier below it is read.
    pub(crate) fn since(&self, doubt: u64) -> Vec<Since> {
        self.uppers.iter().map(|upper| Since { doubt, generation: upper.marks.generation() }).collect()
    }
}

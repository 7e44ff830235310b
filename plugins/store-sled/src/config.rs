//! The table of the plugin in TOML.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// The directory in the node's data directory; not the one of the store `fjall`.
pub(crate) const DIR: &str = "records-sled";
/// Memory for sled's pages.
pub(crate) const CACHE_MIB: u32 = 128;
/// Memory for providers and their addresses.
pub(crate) const PROVIDERS_MIB: u32 = 16;
/// How long what was written may wait in the process.
pub(crate) const FLUSH_INTERVAL_MS: u32 = 500;
/// Reads at a time.
pub(crate) const READS_MAX: u32 = 8;
/// Records in all: about 1.2 GB of memory.
pub(crate) const RECORDS_MAX: u64 = 4_000_000;
/// How long a write may take until callers are told that the store is unavailable.
pub(crate) const WRITE_MAX_S: u32 = 30;

/// Where an embedded store over sled keeps its files, and how it is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The directory of the files, made at need; a relative one is taken from the node's data directory. One process
    /// at a time may use it.
    pub dir: PathBuf,
    /// MiB that sled's cache of pages aims at. Sled's memory is more than that, and grows with the records.
    #[schemars(range(min = 8, max = 1_048_576))]
    pub cache_mib: u32,
    /// MiB of memory for providers and their addresses.
    #[schemars(range(min = 1, max = 65_536))]
    pub providers_mib: u32,
    /// Milliseconds after which sled writes what it holds in memory to the disk. Any crash, be it of the process alone,
    /// may lose what was acknowledged within twice that time.
    #[schemars(range(min = 10, max = 60_000))]
    pub flush_interval_ms: u32,
    /// Reads that are served at a time.
    #[schemars(range(min = 1, max = 256))]
    pub reads_max: u32,
    /// Records in all. When there are as many, new ones are dropped and counted; those that are known are still
    /// refreshed. Each takes about 0.3 kB of memory for as long as the process runs.
    #[schemars(range(min = 1000, max = 1_000_000_000))]
    pub records_max: u64,
    /// Seconds after which a write that has not returned makes the store unavailable, until it does.
    #[schemars(range(min = 1, max = 600))]
    pub write_max_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: DIR.into(),
            cache_mib: CACHE_MIB,
            providers_mib: PROVIDERS_MIB,
            flush_interval_ms: FLUSH_INTERVAL_MS,
            reads_max: READS_MAX,
            records_max: RECORDS_MAX,
            write_max_s: WRITE_MAX_S,
        }
    }
}

impl Config {
    pub(crate) fn cache_bytes(&self) -> u64 {
        u64::from(self.cache_mib) << 20
    }

    pub(crate) fn providers_bytes(&self) -> u64 {
        u64::from(self.providers_mib) << 20
    }

    /// Never without: without its timer sled writes only when a buffer is full.
    pub(crate) fn flush_interval(&self) -> Duration {
        Duration::from_millis(u64::from(self.flush_interval_ms.max(1)))
    }

    pub(crate) fn write_max(&self) -> Duration {
        Duration::from_secs(u64::from(self.write_max_s.max(1)))
    }

    pub(crate) fn reads_max(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.reads_max as usize).unwrap_or(NonZeroUsize::MIN)
    }
}

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
/// The default interval of flushes.
pub(crate) const FLUSH_INTERVAL_MS: u32 = 500;
/// Reads at a time.
pub(crate) const READS_MAX: u32 = 8;
/// Records in all: about 1.2 GB of memory.
pub(crate) const RECORDS_MAX: u64 = 4_000_000;
/// The default time limit of a write.
pub(crate) const WRITE_MAX_S: u32 = 30;

/// Where an embedded store over sled keeps its files, and how it is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The directory of the files, created if it does not exist. A relative path starts at the node's data directory.
    /// One process at a time may use it.
    pub dir: PathBuf,
    /// The size that sled's page cache aims at, in MiB. The memory of the process exceeds it, and grows with the records.
    #[schemars(range(min = 8, max = 1_048_576))]
    pub cache_mib: u32,
    /// The memory of the cache of providers and their addresses, in MiB. Raise it for more than 50,000 providers.
    #[schemars(range(min = 1, max = 65_536))]
    pub providers_mib: u32,
    /// The time from one flush of sled's memory to the disk to the next, in milliseconds. Any crash, of the process
    /// alone too, may lose the acknowledged records of twice this time.
    #[schemars(range(min = 10, max = 60_000))]
    pub flush_interval_ms: u32,
    /// The maximum number of reads at a time; each has a thread. Raise it for disks that serve many reads in parallel.
    #[schemars(range(min = 1, max = 256))]
    pub reads_max: u32,
    /// The maximum number of records. At this number new ones are dropped and counted; known ones are still refreshed.
    /// Each takes about 0.3 kB of memory for as long as the process runs.
    #[schemars(range(min = 1000, max = 1_000_000_000))]
    pub records_max: u64,
    /// The time after which a write that has not returned makes the store unavailable, until it returns, in seconds.
    /// Raise it for disks that stall for longer.
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

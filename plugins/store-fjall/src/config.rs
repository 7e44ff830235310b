//! The table of the plugin in TOML.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// The directory in the node's data directory.
pub(crate) const DIR: &str = "records";
/// Memory for blocks of the files and for providers.
pub(crate) const CACHE_MIB: u32 = 64;
/// Disk for the journal.
pub(crate) const JOURNAL_MIB_MAX: u32 = 128;
/// The default interval of syncs.
pub(crate) const SYNC_INTERVAL_MS: u32 = 500;
/// Reads at a time.
pub(crate) const READS_MAX: u32 = 8;
/// Providers of one key.
pub(crate) const PROVIDERS_PER_KEY_MAX: u32 = 100_000;
/// The default time limit of a write.
pub(crate) const WRITE_MAX_S: u32 = 10;

/// Where an embedded store keeps its files, and how it is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The directory of the files, created if it does not exist. A relative path starts at the node's data directory.
    /// One process at a time may use it.
    pub dir: PathBuf,
    /// The memory of the read cache, in MiB: three quarters for blocks of the files, the rest for providers and their
    /// addresses. Writes take up to 64 MiB in addition. Raise it if reads wait for the disk.
    #[schemars(range(min = 8, max = 1_048_576))]
    pub cache_mib: u32,
    /// The disk space of the journal, in MiB. At this size it is compacted into the other files. A larger journal means
    /// fewer compactions and a longer start after a crash.
    #[schemars(range(min = 64, max = 4096))]
    pub journal_mib_max: u32,
    /// The time from one sync of the files to the next, in milliseconds. A crash of the process loses no acknowledged
    /// record; a crash of the machine may lose the records of this interval.
    #[schemars(range(min = 10, max = 60_000))]
    pub sync_interval_ms: u32,
    /// The maximum number of reads at a time; each has a thread. Raise it for disks that serve many reads in parallel.
    #[schemars(range(min = 1, max = 256))]
    pub reads_max: u32,
    /// The maximum number of providers of one key. At this number new ones are dropped and counted; known ones are
    /// still refreshed. Lower it against keys that grow without end.
    #[schemars(range(min = 16, max = 1_000_000))]
    pub providers_per_key_max: u32,
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
            journal_mib_max: JOURNAL_MIB_MAX,
            sync_interval_ms: SYNC_INTERVAL_MS,
            reads_max: READS_MAX,
            providers_per_key_max: PROVIDERS_PER_KEY_MAX,
            write_max_s: WRITE_MAX_S,
        }
    }
}

impl Config {
    pub(crate) fn block_cache_bytes(&self) -> u64 {
        (u64::from(self.cache_mib) << 20) / 4 * 3
    }

    pub(crate) fn provider_cache_bytes(&self) -> u64 {
        (u64::from(self.cache_mib) << 20) / 4
    }

    /// fjall refuses less than 64 MiB.
    pub(crate) fn journal_bytes_max(&self) -> u64 {
        u64::from(self.journal_mib_max.max(64)) << 20
    }

    pub(crate) fn sync_interval(&self) -> Duration {
        Duration::from_millis(u64::from(self.sync_interval_ms.max(1)))
    }

    pub(crate) fn write_max(&self) -> Duration {
        Duration::from_secs(u64::from(self.write_max_s.max(1)))
    }

    pub(crate) fn concurrency_max(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.reads_max as usize).unwrap_or(NonZeroUsize::MIN)
    }
}

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
/// How long what was written may wait for the disk.
pub(crate) const SYNC_INTERVAL_MS: u32 = 500;
/// Reads at a time.
pub(crate) const READS_MAX: u32 = 8;
/// Providers of one key.
pub(crate) const PROVIDERS_PER_KEY_MAX: u32 = 100_000;
/// How long a write may take until the store is given up as stuck.
pub(crate) const WRITE_MAX_S: u32 = 10;

/// Where an embedded store keeps its files, and how it is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The directory of the files, made at need; a relative one is taken from the node's data directory. One process
    /// at a time may use it.
    pub dir: PathBuf,
    /// MiB of memory for what is read often: three quarters for blocks of the files, the rest for providers and their
    /// addresses. Writes take up to 64 MiB beside it.
    #[schemars(range(min = 8, max = 1_048_576))]
    pub cache_mib: u32,
    /// MiB that the journal may take on disk before it is folded into the other files.
    #[schemars(range(min = 64, max = 4096))]
    pub journal_mib_max: u32,
    /// Milliseconds after which what was written is forced onto the disk. A crash of the process loses nothing that was
    /// acknowledged; a crash of the machine may lose this much.
    #[schemars(range(min = 10, max = 60_000))]
    pub sync_interval_ms: u32,
    /// Calls that are served at a time.
    #[schemars(range(min = 1, max = 256))]
    pub reads_max: u32,
    /// Providers that one key may have. When there are as many, new ones are dropped and counted; those that are known
    /// are still refreshed.
    #[schemars(range(min = 16, max = 1_000_000))]
    pub providers_per_key_max: u32,
    /// Seconds after which a write that has not returned makes the store unavailable, until it does.
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

//! The table of the plugin in TOML.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes that all records may take: room for about two million of them.
pub(crate) const MIB_MAX: u32 = 256;

/// Providers of one key.
pub(crate) const PROVIDERS_PER_KEY_MAX: u32 = 100_000;

/// How a store in memory is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The memory of all records, keys, providers and their addresses, in MiB. When it is used up, new records are
    /// dropped and counted; known ones are still refreshed. A million records take about 128 MiB. Value records may take a
    /// quarter of it.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub mib_max: u32,
    /// The maximum number of providers of one key. At this number new ones are dropped and counted; known ones are
    /// still refreshed. Lower it against keys that grow without end.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub providers_per_key_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { mib_max: MIB_MAX, providers_per_key_max: PROVIDERS_PER_KEY_MAX }
    }
}

impl Config {
    pub(crate) fn bytes_max(&self) -> u64 {
        u64::from(self.mib_max) << 20
    }
}

//! `[store] kind = "tiered"`.

use hydra_api::{Nested, Store};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// How many tiers there may be.
pub(crate) const TIERS: RangeInclusive<usize> = 2..=4;
/// Default of [`Config::complete_s`].
pub(crate) const COMPLETE_S: u32 = 300;
/// Default of [`Config::complete_keys_max`].
pub(crate) const COMPLETE_KEYS_MAX: u32 = 262_144;
/// Default of [`Config::providers_max`].
pub(crate) const PROVIDERS_MAX: u32 = 131_072;
/// Default of [`Config::read_timeout_ms`].
pub(crate) const READ_TIMEOUT_MS: u32 = 100;
/// Default of [`Config::write_timeout_ms`].
pub(crate) const WRITE_TIMEOUT_MS: u32 = 1000;
/// Default of [`Config::fill_timeout_ms`].
pub(crate) const FILL_TIMEOUT_MS: u32 = 50;

/// `[store] kind = "tiered"`: several stores in a list, fastest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The stores, fastest first, each as a table `[[store.tiers]]` with the keys of a `[store]`. The last one decides: what it
    /// has is never hidden, and a record counts as stored once it is stored there. The upper ones only save it reads, and may
    /// fail or lose what they have.
    #[schemars(length(min = 2, max = 4))]
    pub tiers: Vec<Nested<Store>>,
    /// The tiers that an announcement is written to. Choose `"last"` if upper tiers are to keep only what is read.
    pub writes: Writes,
    /// For how long an upper tier answers for a key before the key is read from the last tier again, in seconds. It limits how
    /// long a record or an address can be missing that another process has written and this upper tier has not received. Raise
    /// it if no other process writes to the last tier, or if all use the same upper tiers.
    #[schemars(range(min = 1, max = 86_400))]
    pub complete_s: u32,
    /// The number of keys for which each upper tier answers, about 40 bytes of memory each. Other keys are read from the last
    /// tier.
    #[schemars(range(min = 1024, max = 67_108_864))]
    pub complete_keys_max: u32,
    /// The number of providers whose addresses are known to be the newest, about 40 bytes of memory each. Keys of other
    /// providers are read from the last tier.
    #[schemars(range(min = 1024, max = 16_777_216))]
    pub providers_max: u32,
    /// The time limit of a read from an upper tier, in milliseconds. When it is exceeded, the next tier is read.
    #[schemars(range(min = 1, max = 60_000))]
    pub read_timeout_ms: u32,
    /// The time limit of a write to an upper tier, in milliseconds. When it is exceeded, the write goes on without
    /// this tier, which then no longer answers for the keys.
    #[schemars(range(min = 1, max = 60_000))]
    pub write_timeout_ms: u32,
    /// The time limit of the write that fills an upper tier after a read, in milliseconds. The read is answered after it, so
    /// this is the most that it adds to a read.
    #[schemars(range(min = 1, max = 10_000))]
    pub fill_timeout_ms: u32,
}

/// The tiers that an announcement is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Writes {
    /// The last tier, then the upper ones.
    All,
    /// The last tier alone. The upper ones are filled by reads.
    Last,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tiers: vec![Nested::of("memory"), Nested::of("fjall")],
            writes: Writes::All,
            complete_s: COMPLETE_S,
            complete_keys_max: COMPLETE_KEYS_MAX,
            providers_max: PROVIDERS_MAX,
            read_timeout_ms: READ_TIMEOUT_MS,
            write_timeout_ms: WRITE_TIMEOUT_MS,
            fill_timeout_ms: FILL_TIMEOUT_MS,
        }
    }
}

//! The table of a hot key policy in TOML.

use hydra_api::{OpenError, Rung};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Default of [`Reads::hot_per_s`]: a key is asked for some times an hour; the most popular ones are some hundred
/// times a second.
pub const HOT_PER_S_DEFAULT: u32 = 50;
/// Default of [`Reads::uncached_per_s_max`].
pub const UNCACHED_PER_S_MAX_DEFAULT: u32 = 2;
/// Default of [`Providers::new_per_hour_max`]: several times what an answer has room for.
pub const NEW_PER_HOUR_MAX_DEFAULT: u32 = 1_000;
/// Default of [`Config::keys_max`]: 3 MiB in all.
pub const KEYS_MAX_DEFAULT: u32 = 65_536;
/// Default of [`Config::known_max`]: 2 MiB. Some keys of the public network have 30,000 providers, and there are
/// about ten of them.
pub const KNOWN_MAX_DEFAULT: u32 = 524_288;

/// `[[admission]] kind = "hot-key"`: spares the store what many peers ask for, or announce, of one key.
///
/// It judges GET_PROVIDERS and ADD_PROVIDER. All keys but `keys_max` and `known_max` can change while the node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The reads of one key.
    pub reads: Reads,
    /// The announcements of one key.
    pub providers: Providers,
    /// The number of keys that are counted at a time, 48 bytes each, rounded up to a power of two. A key beyond it
    /// takes over the lowest count.
    #[schemars(range(min = 64, max = 1_048_576))]
    pub keys_max: u32,
    /// The number of announcements of keys with many providers that are remembered as known, 4 bytes each, rounded up
    /// to a power of two. A newer one takes the place of an older one. With 0 every announcement counts as one of a
    /// new provider.
    #[schemars(range(max = 16_777_216))]
    pub known_max: u32,
}

/// The reads of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reads {
    /// Enables the limit of reads.
    pub enabled: bool,
    /// The number of GET_PROVIDERS of one key per second from which the key is hot. Keys below it are not
    /// limited.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub hot_per_s: u32,
    /// The maximum number of GET_PROVIDERS of a hot key per second that may ask the store or wait for it;
    /// half as many again may come at once. Those that the cache answers do not count.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub uncached_per_s_max: u32,
    /// The rung on which reads of a hot key beyond `uncached_per_s_max` are served. On "cache_only" and above
    /// they do not ask the store.
    pub degrade_to: Rung,
}

/// The announcements of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Providers {
    /// Enables the limit of new providers.
    pub enabled: bool,
    /// The maximum number of new providers of one key that are taken per hour; four tenths of them may come
    /// at once. Announcements of further ones are dropped; those of known providers pass. No answer has more
    /// than `engine.providers_per_answer_max` providers.
    #[schemars(range(min = 10, max = 1_000_000))]
    pub new_per_hour_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            reads: Reads::default(),
            providers: Providers::default(),
            keys_max: KEYS_MAX_DEFAULT,
            known_max: KNOWN_MAX_DEFAULT,
        }
    }
}

impl Default for Reads {
    fn default() -> Self {
        Self {
            enabled: true,
            hot_per_s: HOT_PER_S_DEFAULT,
            uncached_per_s_max: UNCACHED_PER_S_MAX_DEFAULT,
            degrade_to: Rung::CacheOnly,
        }
    }
}

impl Default for Providers {
    fn default() -> Self {
        Self { enabled: true, new_per_hour_max: NEW_PER_HOUR_MAX_DEFAULT }
    }
}

impl Config {
    /// The bounds of the schema once more, for those who open the policy without one.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        within("reads.hot_per_s", self.reads.hot_per_s, 1, 1_000_000)?;
        within("reads.uncached_per_s_max", self.reads.uncached_per_s_max, 1, 1_000_000)?;
        within("providers.new_per_hour_max", self.providers.new_per_hour_max, 10, 1_000_000)?;
        within("keys_max", self.keys_max, 64, 1 << 20)?;
        within("known_max", self.known_max, 0, 1 << 24)
    }
}

fn within(key: &str, value: u32, min: u32, max: u32) -> Result<(), OpenError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(OpenError::config(key, format!("{value} is not within {min} to {max}")))
}

//! The table of the policy in TOML.

use hydra_api::Rung;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Default of [`Config::from`].
pub const FROM_DEFAULT: Rung = Rung::Stale;

/// `[[admission]] kind = "early-decline"`: declines from a rung of the ladder on.
//
// The operator reads the doc comments of the keys in the generated reference. `deny_unknown_fields` refuses a key that
// is misspelt; `default` lets every key be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The rung from which on requests for the store are answered with closer peers alone: `"short"`, `"stale"`,
    /// `"near_only"`, `"cache_only"` or `"routing_only"`.
    pub from: Rung,
}

impl Default for Config {
    fn default() -> Self {
        Self { from: FROM_DEFAULT }
    }
}

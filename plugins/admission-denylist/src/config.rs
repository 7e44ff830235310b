//! The table of the policy in TOML.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Default of [`Config::reload_interval_s`].
pub const RELOAD_INTERVAL_S_DEFAULT: u32 = 5;
/// Default of [`Config::rules_max`]: several times the largest public list.
pub const RULES_MAX_DEFAULT: u32 = 2_000_000;
/// Default of [`Config::file_mib_max`].
pub const FILE_MIB_MAX_DEFAULT: u32 = 256;

/// `[[admission]] kind = "denylist"`: declines requests for keys that compact denylists (IPIP-383) name.
///
/// GET_PROVIDERS and ADD_PROVIDER are judged by `/ipfs/` and double-hashed rules, GET_VALUE and PUT_VALUE of IPNS
/// records by `/ipns/` and double-hashed ones. FIND_NODE and PING always pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The files, in the order of their weight: the last rule that matches counts, those of later files after those of
    /// earlier ones. A relative one is taken from the node's data directory. Each must be there when the node starts.
    pub files: Vec<PathBuf>,
    /// Seconds between two looks at the files' times and sizes; when one has changed, all are read again. A change that
    /// cannot be read is told in the log, and the rules as they were stay in force.
    #[schemars(range(min = 1, max = 86_400))]
    pub reload_interval_s: u32,
    /// Rules in all files together: up to 60 bytes of memory each, and up to three times that during a reload.
    #[schemars(range(min = 1, max = 500_000_000))]
    pub rules_max: u32,
    /// MiB that a file may have.
    #[schemars(range(min = 1, max = 65_536))]
    pub file_mib_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            reload_interval_s: RELOAD_INTERVAL_S_DEFAULT,
            rules_max: RULES_MAX_DEFAULT,
            file_mib_max: FILE_MIB_MAX_DEFAULT,
        }
    }
}

impl Config {
    pub(crate) fn reload_interval(&self) -> Duration {
        Duration::from_secs(u64::from(self.reload_interval_s.max(1)))
    }
}

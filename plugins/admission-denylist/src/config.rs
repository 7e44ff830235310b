//! The table of the policy in TOML.

use hydra_api::OpenError;
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
/// `/ipfs/` and double-hashed rules apply to GET_PROVIDERS and ADD_PROVIDER, `/ipns/` and double-hashed rules to GET_VALUE and
/// PUT_VALUE of IPNS records. All keys can change while the node runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The denylist files. The last rule that matches a key applies, and rules of later files come after
    /// those of earlier ones. A relative path starts at the node's data directory. The node does not start if
    /// one is missing.
    pub files: Vec<PathBuf>,
    /// The time between two checks of the files' sizes, times and contents, in seconds. A changed file is
    /// used when two successive checks find it the same, one that only grew at the first. A file that cannot
    /// be used is logged, and the old rules stay in force.
    #[schemars(range(min = 1, max = 86_400))]
    pub reload_interval_s: u32,
    /// The maximum number of rules in all files together; each takes up to 60 bytes of memory, and up to
    /// three times that during a reload. Longer lists are refused as a whole.
    #[schemars(range(min = 1, max = 500_000_000))]
    pub rules_max: u32,
    /// The maximum size of a file, in MiB. A larger file is refused as a whole.
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
    /// The bounds of the schema once more, for those who open the policy without one.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        if self.files.is_empty() {
            return Err(OpenError::config("files", "the list is empty: name at least one denylist file"));
        }
        within("reload_interval_s", self.reload_interval_s, 86_400)?;
        within("rules_max", self.rules_max, 500_000_000)?;
        within("file_mib_max", self.file_mib_max, 65_536)
    }

    pub(crate) fn reload_interval(&self) -> Duration {
        Duration::from_secs(u64::from(self.reload_interval_s))
    }
}

fn within(key: &str, value: u32, max: u32) -> Result<(), OpenError> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(OpenError::config(key, format!("{value} is not within 1 to {max}")))
}

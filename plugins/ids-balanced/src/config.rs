//! The table of the balanced allocator in TOML.

use hydra_api::{OpenError, SecretSource};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Default of [`Config::seed_file`].
pub const SEED_FILE_DEFAULT: &str = "seed";
/// Default of [`Config::slots_max`].
pub const SLOTS_MAX_DEFAULT: u32 = 10_000;
/// Default of [`Config::port_base`]. The ports of the default number of slots end before 30000, where the NodePorts of
/// Kubernetes begin; the ports that systems give to outgoing connections begin at 32768.
pub const PORT_BASE_DEFAULT: u16 = 20_000;

const FIRST_SLOT_MAX: u32 = 1_000_000;
const SLOTS_MAX_MAX: u32 = 100_000;

/// `[ids] kind = "balanced"`: heads spread evenly over the key space, all derived from one seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The file of the seed from which every private key is derived. The first start creates it, readable by its owner
    /// alone. Back it up as it stands: without it the identities are lost. `2:` before its digits is the version of the
    /// derivation; a file without a version is of version 1. A relative path starts at the data directory.
    pub seed_file: PathBuf,
    /// A secret that holds the seed, `{ file = "…" }` or `{ env = "…" }`: `2:` and 64 hexadecimal digits, as
    /// `echo 2:$(openssl rand -hex 32)` prints them. Digits alone are a seed of derivation 1: a changed version changes all
    /// identities. It must exist, and `seed_file` is ignored. Set it to share a seed between processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<SecretSource>,
    /// The first slot of this process. Processes that share a seed need slots that do not overlap: 0, 100, 200 ….
    #[schemars(range(max = 1_000_000))]
    pub first_slot: u32,
    /// The number of slots of this process, from `first_slot` on. A node with more heads does not start.
    #[schemars(range(min = 1, max = 100_000))]
    pub slots_max: u32,
    /// The port of slot 0; slot s listens on `port_base` + s. A head whose port is taken listens on a free one, and goes
    /// back to its own at the first start at which that is free again. 0 lets the system choose at the first start. A changed
    /// base discards the ports that were kept. Choose ports that nothing else takes: Linux gives 32768 and above to outgoing
    /// connections, Kubernetes 30000 to 32767 to services.
    pub port_base: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed_file: SEED_FILE_DEFAULT.into(),
            seed: None,
            first_slot: 0,
            slots_max: SLOTS_MAX_DEFAULT,
            port_base: PORT_BASE_DEFAULT,
        }
    }
}

impl Config {
    /// How many slots there are, and ports for them.
    pub(crate) fn heads_max(&self) -> u32 {
        if self.port_base == 0 {
            return self.slots_max;
        }
        let first = u32::from(self.port_base) + self.first_slot;
        self.slots_max.min((u32::from(u16::MAX) + 1).saturating_sub(first))
    }

    /// The bounds of the schema once more, for those who open the allocator without one.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        if self.first_slot > FIRST_SLOT_MAX {
            let message = format!("{} is not within 0 to {FIRST_SLOT_MAX}", self.first_slot);
            return Err(OpenError::config("first_slot", message));
        }
        if !(1..=SLOTS_MAX_MAX).contains(&self.slots_max) {
            let message = format!("{} is not within 1 to {SLOTS_MAX_MAX}", self.slots_max);
            return Err(OpenError::config("slots_max", message));
        }
        if self.seed_file.as_os_str().is_empty() {
            return Err(OpenError::config("seed_file", "is empty: name a file, or leave the key out"));
        }
        Ok(())
    }
}

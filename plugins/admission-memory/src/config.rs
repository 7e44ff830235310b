//! The table of a memory policy in TOML.

use hydra_api::{OpenError, Operation, Rung};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Default of [`Config::soft_percent`].
pub const SOFT_PERCENT_DEFAULT: u32 = 85;
/// Default of [`Config::hard_percent`].
pub const HARD_PERCENT_DEFAULT: u32 = 95;
/// Default of [`Config::recover_percent`].
pub const RECOVER_PERCENT_DEFAULT: u32 = 5;
/// Default of [`Config::interval_ms`].
pub const INTERVAL_MS_DEFAULT: u32 = 100;

/// `[[admission]] kind = "memory"`: degrades and declines requests as the memory of the process nears its limit.
///
/// All keys can change while the node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The limit in MiB, compared with the resident memory of this process. 0 takes the limits of the control group
    /// that the process is in, and of those around it, each compared with the memory of that group without its file
    /// cache, as the memory guard does (`[memory]`); where there is none, the memory of the machine.
    #[schemars(range(max = 16_777_216))]
    pub limit_mib: u32,
    /// The memory use, in percent of the limit, from which requests are degraded. At most `hard_percent`.
    #[schemars(range(min = 1, max = 100))]
    pub soft_percent: u32,
    /// The memory use, in percent of the limit, from which requests are declined.
    #[schemars(range(min = 1, max = 100))]
    pub hard_percent: u32,
    /// How far the memory use must fall below `soft_percent` or `hard_percent` for that threshold to end, in
    /// percent of the limit. Less than `soft_percent`. With 0 the policy may change with every measurement.
    #[schemars(range(max = 50))]
    pub recover_percent: u32,
    /// The rung of the ladder to which requests are degraded.
    pub degrade_to: Rung,
    /// Which requests are degraded and declined: `"reads"`, `"writes"` or `"both"`.
    pub judges: Judges,
    /// The time between two measurements, in milliseconds. A separate thread measures.
    #[schemars(range(min = 100, max = 60_000))]
    pub interval_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limit_mib: 0,
            soft_percent: SOFT_PERCENT_DEFAULT,
            hard_percent: HARD_PERCENT_DEFAULT,
            recover_percent: RECOVER_PERCENT_DEFAULT,
            degrade_to: Rung::Stale,
            judges: Judges::Both,
            interval_ms: INTERVAL_MS_DEFAULT,
        }
    }
}

/// Which requests are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Judges {
    /// GET_PROVIDERS and GET_VALUE.
    Reads,
    /// ADD_PROVIDER and PUT_VALUE.
    Writes,
    /// All of them.
    Both,
}

impl Judges {
    /// All of them, in the order of their discriminants.
    pub(crate) const ALL: [Self; 3] = [Self::Reads, Self::Writes, Self::Both];

    pub(crate) const fn concerns(self, operation: Operation) -> bool {
        match operation {
            Operation::GetProviders | Operation::GetValue => matches!(self, Self::Reads | Self::Both),
            Operation::AddProvider | Operation::PutValue => matches!(self, Self::Writes | Self::Both),
            _ => false,
        }
    }
}

impl Config {
    /// The bounds of the schema once more, for those who open the policy without one, and what spans several keys.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        within("limit_mib", self.limit_mib, 0, 1 << 24)?;
        within("soft_percent", self.soft_percent, 1, 100)?;
        within("hard_percent", self.hard_percent, 1, 100)?;
        within("recover_percent", self.recover_percent, 0, 50)?;
        within("interval_ms", self.interval_ms, 100, 60_000)?;
        let (soft, hard) = (self.soft_percent, self.hard_percent);
        let levels = (soft > hard).then(|| {
            let message =
                format!("requests are declined from {hard} percent on, so none is degraded at {soft}");
            OpenError::config("soft_percent", message)
        });
        let recovery = (self.recover_percent >= soft).then(|| {
            let message = format!(
                "it is not less than soft_percent, which is {soft}: requests would stay degraded; lower it"
            );
            OpenError::config("recover_percent", message)
        });
        OpenError::all([levels, recovery].into_iter().flatten().map(Err))
    }
}

fn within(key: &str, value: u32, min: u32, max: u32) -> Result<(), OpenError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(OpenError::config(key, format!("{value} is not within {min} to {max}")))
}

//! The memory guard and the heap profiles.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The memory guard: what the node gives up as its memory use nears the limit, so that it is not killed. Each step is taken
/// at a percentage of the limit, and ends when the use is `recover_percent` below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// The memory limit of the process, in MiB, which its resident memory is compared with. If unset: the limits of the
    /// process's control groups (version 1 or 2), which the memory of the group without file cache is compared with; without
    /// such a limit, the memory of the machine. 0 switches the guard off. Set it where several processes share a machine or
    /// a group.
    #[schemars(range(min = 0, max = 16_777_216))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_mib: Option<u32>,
    /// The use, in percent of the limit, at which the caches and the write queue are halved. Cached answers beyond that are
    /// evicted at once. 0 switches this step off. Lower it if use still grows to the next step.
    #[schemars(range(min = 0, max = 100))]
    pub shrink_percent: u32,
    /// The use, in percent of the limit, at which new inbound connections are refused. 0 switches this step off.
    #[schemars(range(min = 0, max = 100))]
    pub refuse_percent: u32,
    /// The use, in percent of the limit, at which the least useful connections are closed, those that are not of servers in
    /// the peer table and the longest unused ones first: an eighth of all every two seconds until the use falls. 0 switches
    /// this step off.
    #[schemars(range(min = 0, max = 100))]
    pub close_percent: u32,
    /// How far the use must fall below the percentage of a step for the step to end, in percent of the limit; less than the
    /// percentage of each step. Raise it if the node alternates between two steps.
    #[schemars(range(min = 0, max = 50))]
    pub recover_percent: u32,
    /// The heap profiles that the node writes.
    pub profiles: Profiles,
}

/// Heap profiles in the format of pprof: one is written when the use reaches a step of the memory guard, and at SIGUSR2. When
/// the files exceed a maximum, the oldest are removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Profiles {
    /// The directory of the files, which the node creates. If unset: `heap-profiles` in the data directory. Set it to a
    /// directory that survives restarts of the container.
    #[schemars(with = "Option<String>", length(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// The maximum number of files. 0 writes none; `/debug/pprof/heap` still serves profiles.
    #[schemars(range(min = 0, max = 1_000))]
    pub files_max: u32,
    /// The maximum size of all files together, in MiB. A profile that alone is larger is not written.
    #[schemars(range(min = 1, max = 65_536))]
    pub mib_max: u32,
    /// The time after a profile in which no other is written because the use reaches a step, unless it is a higher step, in
    /// seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub interval_min_s: u32,
}

impl Memory {
    /// [`Self::shrink_percent`] by default.
    pub const SHRINK_PERCENT: u32 = 85;
    /// [`Self::refuse_percent`] by default.
    pub const REFUSE_PERCENT: u32 = 92;
    /// [`Self::close_percent`] by default.
    pub const CLOSE_PERCENT: u32 = 95;
    /// [`Self::recover_percent`] by default.
    pub const RECOVER_PERCENT: u32 = 5;
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            limit_mib: None,
            shrink_percent: Self::SHRINK_PERCENT,
            refuse_percent: Self::REFUSE_PERCENT,
            close_percent: Self::CLOSE_PERCENT,
            recover_percent: Self::RECOVER_PERCENT,
            profiles: Profiles::default(),
        }
    }
}

impl Profiles {
    /// The directory in the data directory where [`Self::dir`] is unset.
    pub const DIR: &'static str = "heap-profiles";
    /// [`Self::files_max`] by default.
    pub const FILES_MAX: u32 = 8;
    /// [`Self::mib_max`] by default.
    pub const MIB_MAX: u32 = 64;
    /// [`Self::interval_min_s`] by default.
    pub const INTERVAL_MIN_S: u32 = 300;
}

impl Default for Profiles {
    fn default() -> Self {
        Self {
            dir: None,
            files_max: Self::FILES_MAX,
            mib_max: Self::MIB_MAX,
            interval_min_s: Self::INTERVAL_MIN_S,
        }
    }
}

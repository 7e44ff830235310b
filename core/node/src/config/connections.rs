//! How many connections there may be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many connections there may be. Above a high water mark the least useful ones are closed until the low one is
/// reached; above a maximum new ones are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Connections {
    /// Established connections of one head: new ones beyond are refused.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_head_max: u32,
    /// Connections of one head from which the least useful are closed.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_head_high: u32,
    /// Connections of one head that are left then.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub per_head_low: u32,
    /// Established connections of the whole node: new ones beyond are refused. One takes about 50 kB of memory and, over
    /// TCP, one file descriptor.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_node_max: u32,
    /// Connections of the whole node from which the least useful are closed.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_node_high: u32,
    /// Connections of the whole node that are left then.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub per_node_low: u32,
    /// Connections of one peer to one head.
    #[schemars(range(min = 1, max = 1_000))]
    pub per_peer_max: u32,
    /// Connections of one head that are being set up, inbound and outbound each.
    #[schemars(range(min = 1, max = 100_000))]
    pub pending_max: u32,
    /// How long a connection without a stream is kept, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub idle_timeout_s: u32,
}

impl Connections {
    /// [`Self::per_head_max`] unless told otherwise.
    pub const PER_HEAD_MAX: u32 = 4_000;
    /// [`Self::per_head_high`] unless told otherwise.
    pub const PER_HEAD_HIGH: u32 = 3_600;
    /// [`Self::per_head_low`] unless told otherwise.
    pub const PER_HEAD_LOW: u32 = 3_000;
    /// [`Self::per_node_max`] unless told otherwise.
    pub const PER_NODE_MAX: u32 = 20_000;
    /// [`Self::per_node_high`] unless told otherwise.
    pub const PER_NODE_HIGH: u32 = 18_000;
    /// [`Self::per_node_low`] unless told otherwise.
    pub const PER_NODE_LOW: u32 = 15_000;
    /// [`Self::per_peer_max`] unless told otherwise.
    pub const PER_PEER_MAX: u32 = 8;
    /// [`Self::pending_max`] unless told otherwise.
    pub const PENDING_MAX: u32 = 256;
    /// [`Self::idle_timeout_s`] unless told otherwise.
    pub const IDLE_TIMEOUT_S: u32 = 120;
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            per_head_max: Self::PER_HEAD_MAX,
            per_head_high: Self::PER_HEAD_HIGH,
            per_head_low: Self::PER_HEAD_LOW,
            per_node_max: Self::PER_NODE_MAX,
            per_node_high: Self::PER_NODE_HIGH,
            per_node_low: Self::PER_NODE_LOW,
            per_peer_max: Self::PER_PEER_MAX,
            pending_max: Self::PENDING_MAX,
            idle_timeout_s: Self::IDLE_TIMEOUT_S,
        }
    }
}

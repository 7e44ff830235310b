//! The limits of the Kademlia protocol on each connection.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The limits of the Kademlia protocol on each connection. What goes beyond is reset, never buffered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kad {
    /// The longest frame that is accepted, in bytes. A longer one is reset before any of it is read.
    #[schemars(range(min = 16_384, max = 4_194_304))]
    pub frame_bytes_max: u32,
    /// How many bytes of frames that are not complete yet the whole node holds; beyond that, streams are reset.
    #[schemars(range(min = 4_194_304, max = 17_179_869_184_u64))]
    pub frames_bytes_max: u64,
    /// How many inbound streams of the protocol one connection may have open. One more is refused, the connection stays.
    #[schemars(range(min = 32, max = 1_024))]
    pub streams_per_connection_max: u32,
    /// How long a stream may go without a complete frame, in seconds. A byte now and then does not count.
    #[schemars(range(min = 1, max = 3_600))]
    pub stream_idle_s: u32,
    /// Whose answers have 16 KiB at most: clients of rust-libp2p read no more, and lose a longer answer altogether. What
    /// fits is sent as it is; else the four best addresses of each peer are, then fewer providers, then fewer closer
    /// peers, but ten.
    pub small_answers: SmallAnswers,
}

/// Whose answers have 16 KiB at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SmallAnswers {
    /// Those to peers whose agent begins with `rust-libp2p`, and to those that have not told their agent yet.
    Auto,
    /// All: for a network whose applications are built on rust-libp2p and name themselves otherwise.
    Always,
    /// None.
    Never,
}

impl Kad {
    /// [`Self::frame_bytes_max`] unless told otherwise (requirement F2).
    pub const FRAME_BYTES_MAX: u32 = 4 * 1024 * 1024;
    /// [`Self::frames_bytes_max`] unless told otherwise.
    pub const FRAMES_BYTES_MAX: u64 = 64 * 1024 * 1024;
    /// [`Self::streams_per_connection_max`] unless told otherwise (requirement F9).
    pub const STREAMS_PER_CONNECTION_MAX: u32 = 32;
    /// [`Self::stream_idle_s`] unless told otherwise (requirement F4).
    pub const STREAM_IDLE_S: u32 = 60;
}

impl Default for Kad {
    fn default() -> Self {
        Self {
            frame_bytes_max: Self::FRAME_BYTES_MAX,
            frames_bytes_max: Self::FRAMES_BYTES_MAX,
            streams_per_connection_max: Self::STREAMS_PER_CONNECTION_MAX,
            stream_idle_s: Self::STREAM_IDLE_S,
            small_answers: SmallAnswers::Auto,
        }
    }
}

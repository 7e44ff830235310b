//! The limits of the Kademlia protocol on each connection.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The limits of the Kademlia protocol on each connection. A stream that exceeds one is reset; nothing beyond a limit is
/// buffered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kad {
    /// The maximum length of a frame, in bytes. A longer frame resets its stream before any of it is read. Peers of the
    /// public IPFS DHT send up to 4 MiB; lower it only in a network with shorter messages.
    #[schemars(range(min = 16_384, max = 4_194_304))]
    pub frame_bytes_max: u32,
    /// The memory for incomplete frames of the whole node, in bytes. When it is used up, streams are reset. Raise it if
    /// streams are reset while memory is free.
    #[schemars(range(min = 4_194_304, max = 17_179_869_184_u64))]
    pub frames_bytes_max: u64,
    /// The maximum number of inbound streams of the protocol on one connection. At this number a new stream is refused;
    /// the connection stays open. Raise it for clients that send many requests at a time.
    #[schemars(range(min = 32, max = 1_024))]
    pub streams_per_connection_max: u32,
    /// The time after which a stream without a complete frame is reset, in seconds. Parts of a frame do not extend it.
    /// Lower it to free streams sooner; raise it for clients with slow links.
    #[schemars(range(min = 1, max = 3_600))]
    pub stream_idle_s: u32,
    /// The clients whose answers are limited to 16 KiB: clients of rust-libp2p read no more and discard a longer
    /// answer as a whole. An answer that is too long is cut to the four best addresses of each peer, then to fewer
    /// providers, then to fewer closer peers, but at least ten.
    pub small_answers: SmallAnswers,
}

/// The clients whose answers are limited to 16 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SmallAnswers {
    /// Peers whose agent begins with `rust-libp2p`, and peers whose agent is not known yet.
    Auto,
    /// All peers: for a network whose applications are built on rust-libp2p under another agent name.
    Always,
    /// No peers.
    Never,
}

impl Kad {
    /// [`Self::frame_bytes_max`] by default (requirement F2).
    pub const FRAME_BYTES_MAX: u32 = 4 * 1024 * 1024;
    /// [`Self::frames_bytes_max`] by default.
    pub const FRAMES_BYTES_MAX: u64 = 64 * 1024 * 1024;
    /// [`Self::streams_per_connection_max`] by default (requirement F9).
    pub const STREAMS_PER_CONNECTION_MAX: u32 = 32;
    /// [`Self::stream_idle_s`] by default (requirement F4).
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

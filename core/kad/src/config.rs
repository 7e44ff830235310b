//! What a [`Behaviour`](crate::Behaviour) is told: protocol names, limits, and what it shares with others.

use crate::{Budget, Stats};
use libp2p::StreamProtocol;
use std::sync::Arc;
use std::time::Duration;

/// The settings of one [`Behaviour`](crate::Behaviour). Clones share the budgets and the counters, so that all heads
/// of a node are bounded together.
#[derive(Debug, Clone)]
pub struct Config {
    /// The names under which the protocol is offered and asked for, the preferred one first.
    pub protocols: Arc<[StreamProtocol]>,
    /// The limits of a connection and of a message.
    pub limits: Limits,
    /// What unfinished inbound frames may take together, beyond [`Limits::free_bytes`] each. A single connection may
    /// take a sixteenth of it, or one frame.
    pub frames: Budget,
    /// What answers may take together while they are written, beyond [`Limits::free_bytes`] each.
    pub answers: Budget,
    /// Where everything is counted.
    pub stats: Arc<Stats>,
}

impl Config {
    /// The default of [`Self::frames`] and of [`Self::answers`], in bytes: 64 MiB.
    pub const BUDGET_BYTES_MAX: usize = 64 << 20;

    /// The defaults, for these protocol names.
    pub fn new(protocols: impl IntoIterator<Item = StreamProtocol>) -> Self {
        Self {
            protocols: protocols.into_iter().collect(),
            limits: Limits::default(),
            frames: Budget::new(Self::BUDGET_BYTES_MAX),
            answers: Budget::new(Self::BUDGET_BYTES_MAX),
            stats: Arc::default(),
        }
    }

    /// What the unfinished frames of one connection may take: one peer must not take what all others need.
    pub(crate) fn frames_of_connection(&self) -> Budget {
        self.frames.share((self.frames.bytes_max() / CONNECTION_SHARE).max(self.limits.frame_bytes_max))
    }
}

/// The part of the frame budget that one connection may take.
const CONNECTION_SHARE: usize = 16;

/// How much of everything a peer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest frame read or written, in bytes without its length prefix. Default 4 MiB (go-libp2p
    /// `MessageSizeMax`); never above 256 MiB.
    pub frame_bytes_max: usize,
    /// What a frame or an answer may take without drawing on a budget, in bytes. Default 16 KiB.
    pub free_bytes: usize,
    /// Inbound streams served at a time on one connection; a further one is reset. Default 32.
    pub streams_max: usize,
    /// How long a stream may go without a complete frame, and how long the service may take. Default 60 s
    /// (go-libp2p-kad-dht `dhtStreamIdleTimeout`).
    pub frame_wait: Duration,
    /// How long the remote may take to accept one whole answer. Default 10 s.
    pub write_wait: Duration,
    /// Provider peers kept of one request; the surplus is skipped. Default 64.
    pub provider_peers_max: usize,
    /// Addresses kept of one peer, in requests and answers; the surplus is skipped. Default 64.
    pub peer_addresses_max: usize,
    /// Closer peers kept of an answer to a [`Client`](crate::Client). Default 40 (requirement T7).
    pub answer_closer_max: usize,
    /// Providers kept of an answer to a [`Client`](crate::Client). Default 256.
    pub answer_providers_max: usize,
    /// Requests that the [`Client`](crate::Client)s of one behaviour have under way at a time. Default 256.
    pub requests_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 4 << 20,
            free_bytes: 16 << 10,
            streams_max: 32,
            frame_wait: Duration::from_secs(60),
            write_wait: Duration::from_secs(10),
            provider_peers_max: 64,
            peer_addresses_max: 64,
            answer_closer_max: 40,
            answer_providers_max: 256,
            requests_max: 256,
        }
    }
}

//! What a run sends, and to whom.

mod check;
mod head;
mod mix;

pub use check::PlanError;
pub use head::Head;
pub(crate) use head::Transport;
pub use mix::Mix;

use libp2p::{Multiaddr, StreamProtocol};
use std::net::IpAddr;
use std::time::Duration;

/// What a run sends, and to whom. [`Plan::new`] gives the defaults; the bounds are checked by [`run`](crate::run).
#[derive(Debug, Clone)]
pub struct Plan {
    /// The servers; clients are assigned to them in turn. At least one.
    pub heads: Vec<Head>,
    /// The protocol name. Default [`Self::PROTOCOL`].
    pub protocol: StreamProtocol,
    /// The seed of keys, identities, arrivals and draws. Default 1.
    pub seed: u64,
    /// The connections at a time, each with an identity of its own, 1 to [`Self::CLIENTS_MAX`]. Default 32.
    pub clients: u32,
    /// The identities in total, at least [`Self::clients`], up to [`Self::IDS_MAX`]. With more than clients, each
    /// client changes its identity, and with it its connection, after [`Self::requests_per_id`] requests. Default 32.
    pub ids: u64,
    /// The number of the first identity, so that several processes with one seed use different ones. Default 0.
    pub first_id: u64,
    /// The requests of a client under one identity when identities rotate, at least 1. Default 100.
    pub requests_per_id: u64,
    /// The shares of the operations.
    pub mix: Mix,
    /// The number of keys that have providers, and of those that have none, 1 to [`Self::KEYS_MAX`]. Default 10,000.
    pub keys: u64,
    /// The exponent of the Zipf distribution of keys, 0 (uniform) to 10. Default 1.
    pub zipf: f64,
    /// The share of GET_PROVIDERS for keys that nobody provides, 0 to 1. Default 0.6.
    pub absent_share: f64,
    /// The share of GET_PROVIDERS for the one most popular present key, 0 to 1. Default 0.
    pub hot_share: f64,
    /// Which keys have providers. Default [`Presence::Announced`].
    pub presence: Presence,
    /// The steps, one after the other; 1 to [`Self::STEPS_MAX`].
    pub steps: Vec<Step>,
    /// Whether streams are reused. Default [`Streams::Reused`].
    pub streams: Streams,
    /// Whether connections are kept. Default [`Connections::Kept`].
    pub connections: Connections,
    /// The requests of one client in flight at a time, 1 to 256; further ones wait, and their latency counts. Default
    /// 16, half of the streams that a hydra head serves on one connection. With [`Connections::PerRequest`] it is 1.
    pub streams_per_client_max: u32,
    /// How many times the share of another client the first client sends, on top of the rate; its figures are apart.
    /// At least 1. Default none.
    pub abusive: Option<f64>,
    /// The latency after which an answer is late. Default 1 s.
    pub late_after: Duration,
    /// The time limit of an attempt, up to 60 s. Default 10 s, that of go-libp2p-kad-dht.
    pub timeout: Duration,
    /// The requests of an open loop that are outstanding at a time, 1 to [`Self::OUTSTANDING_MAX`]; further ones are
    /// [`Outcome::Unsent`](crate::Outcome::Unsent). The abusive client has a limit of its own of the same size. Default
    /// 10,000.
    pub outstanding_max: u32,
    /// The local addresses that connections come from, one identity after the other; TCP alone. Default none: the system
    /// chooses. On Linux every address of 127.0.0.0/8 can be one.
    pub sources: Vec<IpAddr>,
    /// The addresses in announcements. Default `/ip4/127.0.0.1/tcp/4001`.
    pub provider_addresses: Vec<Multiaddr>,
    /// The process id of the server, to measure its CPU, memory and descriptors (Linux). Default none.
    pub server_pid: Option<u32>,
}

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// When requests are sent.
    pub pace: Pace,
    /// How long the step lasts, above 0 and up to 7 days.
    pub duration: Duration,
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// At the times of a Poisson process, whatever becomes of earlier requests.
    Open {
        /// The mean rate, above 0 and up to 1,000,000.
        per_second: f64,
    },
    /// As soon as an earlier request has ended.
    Closed {
        /// The requests in flight, 1 to 65,536.
        concurrency: u32,
    },
}

/// Which keys have providers, so that an answer without providers is incomplete.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Presence {
    /// A present key, from one second after this run first announced it.
    Announced,
    /// All present keys: the run announces each of them once before its first step.
    Preload {
        /// The rate of these announcements, above 0.
        per_second: f64,
    },
    /// All present keys: the server holds them already, as after a run with the same seed.
    Held,
}

/// What becomes of a stream after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// A later request uses it again.
    Reused,
    /// It is closed.
    New,
}

/// What becomes of a connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// It is kept.
    Kept,
    /// It is closed: each request pays for a connection.
    PerRequest,
}

impl Plan {
    /// The protocol name of the public IPFS DHT.
    pub const PROTOCOL: StreamProtocol = StreamProtocol::new("/ipfs/kad/1.0.0");
    /// The maximum of [`Self::clients`].
    pub const CLIENTS_MAX: u32 = 65_536;
    /// The maximum of [`Self::ids`].
    pub const IDS_MAX: u64 = 1 << 40;
    /// The maximum of [`Self::keys`]; each takes 4 bytes unless all are known to have providers.
    pub const KEYS_MAX: u64 = 100_000_000;
    /// The maximum number of steps; each takes up to 2 MiB.
    pub const STEPS_MAX: usize = 64;
    /// The maximum of [`Self::outstanding_max`]; each outstanding request takes some kilobytes.
    pub const OUTSTANDING_MAX: u32 = 1_000_000;

    /// The defaults, for these heads and steps.
    pub fn new(heads: Vec<Head>, steps: Vec<Step>) -> Self {
        Self {
            heads,
            protocol: Self::PROTOCOL,
            seed: 1,
            clients: 32,
            ids: 32,
            first_id: 0,
            requests_per_id: 100,
            mix: Mix::default(),
            keys: 10_000,
            zipf: 1.0,
            absent_share: 0.6,
            hot_share: 0.0,
            presence: Presence::Announced,
            steps,
            streams: Streams::Reused,
            connections: Connections::Kept,
            streams_per_client_max: 16,
            abusive: None,
            late_after: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
            outstanding_max: 10_000,
            sources: Vec::new(),
            provider_addresses: "/ip4/127.0.0.1/tcp/4001".parse().into_iter().collect(),
            server_pid: None,
        }
    }

    /// How much the abusive client adds: the rate of all requests over the rate of the plan.
    pub(crate) fn rate_factor(&self) -> f64 {
        self.abusive
            .map_or(1.0, |multiple| (f64::from(self.clients) - 1.0 + multiple) / f64::from(self.clients))
    }
}

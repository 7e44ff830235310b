//! The arguments of `hydra load`.

use super::duration::duration;
use clap::{Parser, ValueEnum};
use hydra_load::{Connections, Head, Mix, Pace, Plan, Presence, Step, Streams};
use libp2p::{Multiaddr, StreamProtocol};
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  hydra load /ip4/127.0.0.1/tcp/20000/p2p/12D3Koo… --rate 500 --preload
  hydra load /ip4/127.0.0.1/udp/20000/quic-v1/p2p/12D3Koo… --stairs 500,1000,2000 --step 30s --csv load.csv
  hydra load /ip4/127.0.0.1/tcp/20000/p2p/12D3Koo… --concurrency 64 --duration 10s --json --pid $(pidof hydra)

Exit codes: 0 the run ended or was stopped, 1 no client could connect, 2 invalid command line.";

/// Sends requests to heads in the role of many clients, and reports outcomes and latencies.
///
/// Without --concurrency the loop is open: requests are due at the times of a Poisson process, regardless of
/// earlier ones, and latencies count from these times. Only complete answers in time are successes;
/// docs/LOAD.md explains the figures. Ctrl-C ends the run and prints what was measured.
#[derive(Debug, Parser)]
#[command(name = "load", after_help = EXAMPLES)]
pub(super) struct LoadArgs {
    /// The heads, as multiaddrs over TCP or QUIC that end in `/p2p/<peer id>`; clients are assigned to them in turn.
    #[arg(required = true, value_name = "MULTIADDR")]
    heads: Vec<Head>,
    /// The protocol name.
    #[arg(long, value_name = "NAME", default_value = "/ipfs/kad/1.0.0")]
    protocol: String,
    /// The seed of keys, identities, arrival times and draws.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// The requests per second of an open loop.
    #[arg(long, help_heading = "Pace", value_name = "R", default_value_t = 100.0, conflicts_with_all = ["stairs", "concurrency"])]
    rate: f64,
    /// The requests per second of the steps of an open loop, one after the other.
    #[arg(long, help_heading = "Pace", value_name = "R,R,…", value_delimiter = ',', conflicts_with_all = ["concurrency", "duration"])]
    stairs: Vec<f64>,
    /// The duration of a step of --stairs.
    #[arg(long, help_heading = "Pace", value_name = "TIME", default_value = "30s", value_parser = duration, requires = "stairs")]
    step: Duration,
    /// The requests in flight of a closed loop.
    #[arg(long, help_heading = "Pace", value_name = "N")]
    concurrency: Option<u32>,
    /// The duration of the run, without --stairs.
    #[arg(long, help_heading = "Pace", value_name = "TIME", default_value = "30s", value_parser = duration)]
    duration: Duration,
    /// The requests of an open loop that are outstanding at a time; further ones count as unsent. 1 to 1,000,000.
    #[arg(long, help_heading = "Pace", value_name = "N", default_value_t = 10_000)]
    outstanding_max: u32,

    /// The clients, each with an identity and a connection of its own. 1 to 65,536.
    #[arg(long, help_heading = "Clients", value_name = "N", default_value_t = 32)]
    clients: u32,
    /// The identities in total. If there are more than clients, each client changes its identity and connection
    /// regularly.
    #[arg(long, help_heading = "Clients", value_name = "N")]
    ids: Option<u64>,
    /// The requests of a client under one identity, if there are more identities than clients.
    #[arg(long, help_heading = "Clients", value_name = "N", default_value_t = 100)]
    requests_per_id: u64,
    /// The number of the first identity, so that several processes with one seed use different identities.
    #[arg(long, help_heading = "Clients", value_name = "N", default_value_t = 0)]
    first_id: u64,
    /// How the requests of a client use streams.
    #[arg(long, help_heading = "Clients", value_name = "STREAMS", default_value = "reused")]
    streams: StreamsArg,
    /// Makes a connection for each request. A client then has one request in flight at a time.
    #[arg(long, help_heading = "Clients")]
    churn: bool,
    /// The requests of a client in flight at a time; further ones wait, which counts in their latency. 1 to 256.
    #[arg(long, help_heading = "Clients", value_name = "N", default_value_t = 16)]
    streams_per_client_max: u32,
    /// Makes one client send this many times the share of another, on top of the rate; its figures are separate.
    #[arg(long, help_heading = "Clients", value_name = "MULTIPLE")]
    abusive: Option<f64>,
    /// An address in announcements; can be repeated.
    #[arg(long, help_heading = "Clients", value_name = "ADDR", default_value = "/ip4/127.0.0.1/tcp/4001")]
    provider_address: Vec<Multiaddr>,

    /// The weights of GET_PROVIDERS, ADD_PROVIDER, FIND_NODE and PING.
    #[arg(long, help_heading = "Requests", value_name = "MIX", default_value_t = Mix::default())]
    mix: Mix,
    /// The number of keys that have providers, and of keys that have none. 1 to 100,000,000.
    #[arg(long, help_heading = "Requests", value_name = "N", default_value_t = 10_000)]
    keys: u64,
    /// The exponent of the Zipf distribution of keys, 0 to 10; 0 is uniform.
    #[arg(long, help_heading = "Requests", value_name = "S", default_value_t = 1.0)]
    zipf: f64,
    /// The share of GET_PROVIDERS for keys that nobody provides, 0 to 1.
    #[arg(long, help_heading = "Requests", value_name = "SHARE", default_value_t = 0.6)]
    absent: f64,
    /// The share of GET_PROVIDERS for one key that has providers, 0 to 1.
    #[arg(long, help_heading = "Requests", value_name = "SHARE", default_value_t = 0.0)]
    hot_key: f64,
    /// Announces each key that has providers once before the run.
    #[arg(long, help_heading = "Requests", conflicts_with = "present")]
    preload: bool,
    /// The rate of --preload, in announcements per second.
    #[arg(
        long,
        help_heading = "Requests",
        value_name = "R",
        default_value_t = 5_000.0,
        requires = "preload"
    )]
    preload_rate: f64,
    /// The heads hold the providers already, as after a run with the same seed and --preload.
    #[arg(long, help_heading = "Requests")]
    present: bool,

    /// The latency after which an answer is late. 1 ms to 60 s.
    #[arg(long, help_heading = "Judgement", value_name = "TIME", default_value = "1s", value_parser = duration, visible_alias = "soft-deadline")]
    late_after: Duration,
    /// The time limit of an attempt. 1 ms to 60 s.
    #[arg(long, help_heading = "Judgement", value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,

    /// The process id of the server, to measure its CPU, memory and descriptors (Linux).
    #[arg(long, help_heading = "Output", value_name = "PID")]
    pid: Option<u32>,
    /// Prints the report as JSON.
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    /// Writes one row per second to this file.
    #[arg(long, help_heading = "Output", value_name = "FILE")]
    pub(super) csv: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StreamsArg {
    /// A stream carries requests one after the other.
    Reused,
    /// Each request has a stream of its own.
    New,
}

impl LoadArgs {
    /// The plan that the arguments describe.
    ///
    /// # Errors
    /// A message, if a value is out of bounds.
    pub(super) fn plan(&self) -> Result<Plan, String> {
        let protocol =
            StreamProtocol::try_from_owned(self.protocol.clone()).map_err(|cause| cause.to_string())?;
        let plan = Plan {
            protocol,
            seed: self.seed,
            clients: self.clients,
            ids: self.ids.unwrap_or(self.clients.into()),
            first_id: self.first_id,
            requests_per_id: self.requests_per_id,
            mix: self.mix,
            keys: self.keys,
            zipf: self.zipf,
            absent_share: self.absent,
            hot_share: self.hot_key,
            presence: self.presence(),
            streams: match self.streams {
                StreamsArg::Reused => Streams::Reused,
                StreamsArg::New => Streams::New,
            },
            connections: if self.churn { Connections::PerRequest } else { Connections::Kept },
            streams_per_client_max: self.streams_per_client_max,
            abusive: self.abusive,
            late_after: self.late_after,
            timeout: self.timeout,
            outstanding_max: self.outstanding_max,
            provider_addresses: self.provider_address.clone(),
            server_pid: self.pid,
            ..Plan::new(self.heads.clone(), self.steps())
        };
        plan.check().map_err(|error| error.to_string())?;
        Ok(plan)
    }

    fn presence(&self) -> Presence {
        match (self.preload, self.present) {
            (true, _) => Presence::Preload { per_second: self.preload_rate },
            (false, true) => Presence::Held,
            (false, false) => Presence::Announced,
        }
    }

    fn steps(&self) -> Vec<Step> {
        let open = |per_second, duration| Step { pace: Pace::Open { per_second }, duration };
        match self.concurrency {
            Some(concurrency) => vec![Step { pace: Pace::Closed { concurrency }, duration: self.duration }],
            None if self.stairs.is_empty() => vec![open(self.rate, self.duration)],
            None => self.stairs.iter().map(|per_second| open(*per_second, self.step)).collect(),
        }
    }
}

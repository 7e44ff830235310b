//! What a request costs the process that serves it, in CPU time, beside a server that is stock libp2p-kad.
//!
//! The servers are processes of their own; who asks is in this one. 32 connections ask in turns, 60 % GET_PROVIDERS,
//! 20 % ADD_PROVIDER, 20 % FIND_NODE over 100,000 keys that have providers; every answer carries 20 closer peers.
//! Measured is the CPU time of the server, user and system, so that other load on the machine matters little. Each
//! figure is the median of three runs. With another build's program in `HYDRA_BENCH_AGAINST`, the two builds are measured beside
//! each other.

mod common;
#[path = "requests/load.rs"]
mod load;
#[path = "requests/stock.rs"]
mod stock;
#[path = "requests/turns.rs"]
mod turns;

use common::figure;
use hydra_integration_tests::measure;
use hydra_integration_tests::node::Node;
use libp2p::Multiaddr;
use load::{Load, Streams};
use std::io;
use std::process::ExitCode;
use std::time::Duration;

/// Requests of one run over streams that are used again, and over new ones.
const REUSED: usize = 96_000;
const NEW: usize = 32_000;
const RUNS: usize = 3;
const CONNECTIONS: usize = 32;
/// Records that were announced are written then.
const WRITTEN: Duration = Duration::from_secs(2);
/// Enough heads that an answer is full of them, with as many addresses as a peer of the public network tells.
const HEADS: [&str; 6] = [
    "heads.count=64",
    "heads.announce=[\"/ip4/127.0.0.1/tcp/4001/ws\"]",
    "network.group_own_heads_max=20",
    "connections.idle_timeout_s=3600",
    "engine.write_queue_len_max=262144",
    // The announcements before the measuring come as fast as they can: a part of them would be declined.
    "engine.peak.requests_per_second=0",
];

#[tokio::main]
async fn main() -> ExitCode {
    let asked = std::env::args().nth(1);
    let done = match std::env::var_os(turns::AGAINST) {
        _ if asked.as_deref() == Some(stock::ARGUMENT) => stock::serve().await,
        Some(program) => turns::compare(program.as_ref()).await,
        None => measure().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("{cause}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> io::Result<()> {
    figure("µs of server CPU per request, median of 3 runs", "streams reused / a new stream each");
    let stock = stock::Stock::start().await?;
    for (transport, address) in [("TCP", &stock.tcp), ("QUIC", &stock.quic)] {
        one_server(&format!("libp2p-kad, MemoryStore, {transport}"), stock.pid, address).await?;
    }
    drop(stock);
    for store in ["memory", "fjall"] {
        let store_kind = format!("store.kind={store}");
        let settings: Vec<_> = HEADS.iter().copied().chain([&*store_kind]).collect();
        let node = Node::start(&settings).await?;
        let head = node.heads().first().ok_or_else(|| io::Error::other("no head"))?;
        for (transport, address) in [("TCP", head.tcp()), ("QUIC", head.quic())] {
            one_server(&format!("hydra, store {store}, {transport}"), node.pid(), address).await?;
        }
        node.stop().await?;
    }
    Ok(())
}

async fn one_server(name: &str, pid: u32, address: &Multiaddr) -> io::Result<()> {
    let mut load = Load::connect(address, CONNECTIONS).await?;
    load.announce_all().await?;
    tokio::time::sleep(WRITTEN).await;
    let mut of = async |streams, requests| {
        let mut costs = Vec::with_capacity(RUNS);
        for _ in 0..RUNS {
            let before = measure::cpu_time(pid)?;
            load.run(streams, requests).await?;
            tokio::time::sleep(WRITTEN).await;
            let cpu = measure::cpu_time(pid)?.saturating_sub(before);
            costs.push(cpu.as_secs_f64() * 1e6 / requests as f64);
        }
        costs.sort_by(f64::total_cmp);
        io::Result::Ok(costs.get(RUNS / 2).copied().unwrap_or_default())
    };
    let (reused, new) = (of(Streams::Reused, REUSED).await?, of(Streams::New, NEW).await?);
    let sample = load.sample();
    figure(name, format!("{reused:5.1} / {new:5.1}   ({sample})"));
    Ok(())
}

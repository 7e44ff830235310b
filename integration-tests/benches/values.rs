//! What a value record costs the process that serves it, in CPU time, beside go-libp2p-kad-dht with its own store in memory.
//!
//! The servers are processes of their own; who asks is in this one, over one connection and one stream each. Names are put once each,
//! with valid Ed25519 records, and then read. Measured is the CPU time of the server, user and system, what it costs to write the
//! records included.

use hydra_integration_tests::foreign::{Client, Event};
use hydra_integration_tests::measure;
use hydra_integration_tests::names::{Name, put};
use hydra_integration_tests::network::PROTOCOL;
use hydra_integration_tests::node::Node;
use hydra_integration_tests::raw::{RawPeer, RawStream};
use hydra_kad::{Answer, Kind, Limits, Request};
use libp2p::Multiaddr;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

const CONNECTIONS: usize = 16;
/// Names, and how often each is read.
const NAMES: usize = 16_000;
const READS: usize = 4;
/// Records that were put are written then.
const WRITTEN: Duration = Duration::from_secs(2);
const SETTINGS: [&str; 6] = [
    "heads.count=1",
    "connections.idle_timeout_s=3600",
    "engine.peak.requests_per_second=0",
    "engine.values.checks_per_prefix_per_second=1000000",
    "engine.values.checks_per_second=1000000",
    "engine.values.queue_len_max=65536",
];

#[tokio::main]
async fn main() -> ExitCode {
    match measured().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("{cause}");
            ExitCode::FAILURE
        }
    }
}

async fn measured() -> io::Result<()> {
    let names: Vec<_> = (0..NAMES).map(|_| Name::default()).collect();
    let requests = names.iter().map(|name| {
        let record = name.record(1).map_err(io::Error::other)?;
        Ok((put(&name.key(), &record), name.get()))
    });
    let requests: Vec<_> = requests.collect::<io::Result<_>>()?;
    figure("µs of server CPU, TCP, streams reused", "valid PUT_VALUE / GET_VALUE hit");
    match Client::go() {
        Ok(client) => {
            let (event, running) =
                client.start(&["serve", "--deadline", "30m", "--transport", "tcp"]).await?;
            let Event::Listening { peer } = event else { return Err(io::Error::other("go does not listen")) };
            let address = peer.addrs.first().ok_or_else(|| io::Error::other("go has no address"))?;
            let address = format!("{address}/p2p/{}", peer.id).parse().map_err(io::Error::other)?;
            let pid = running.id().ok_or_else(|| io::Error::other("go has ended"))?;
            one_server("go-libp2p-kad-dht, map datastore", pid, &address, &requests).await?;
        }
        Err(missing) => figure("go-libp2p-kad-dht", missing),
    }
    for store in ["memory", "fjall"] {
        let kind = format!("store.kind={store}");
        let settings: Vec<_> = SETTINGS.iter().copied().chain([&*kind]).collect();
        let node = Node::start(&settings).await?;
        let head = node.heads().first().ok_or_else(|| io::Error::other("no head"))?;
        one_server(&format!("hydra, store {store}"), node.pid(), head.tcp(), &requests).await?;
        node.stop().await?;
    }
    Ok(())
}

async fn one_server(
    name: &str,
    pid: u32,
    address: &Multiaddr,
    requests: &[(Request, Request)],
) -> io::Result<()> {
    let mut askers = Vec::with_capacity(CONNECTIONS);
    for part in requests.chunks(requests.len().div_ceil(CONNECTIONS)) {
        let peer = RawPeer::new(PROTOCOL);
        askers.push((peer.stream(address).await?, part));
    }
    let before = measure::cpu_time(pid)?;
    let puts = askers.iter_mut().map(|(stream, part)| ask_all(stream, part.iter().map(|(put, _)| put)));
    futures::future::try_join_all(puts).await?;
    tokio::time::sleep(WRITTEN).await;
    let between = measure::cpu_time(pid)?;
    let gets = askers
        .iter_mut()
        .map(|(stream, part)| ask_all(stream, (0..READS).flat_map(|_| part.iter().map(|(_, get)| get))));
    futures::future::try_join_all(gets).await?;
    let after = measure::cpu_time(pid)?;
    let each = |from: Duration, to: Duration, requests: usize| {
        to.saturating_sub(from).as_secs_f64() * 1e6 / requests as f64
    };
    let (put, get) = (each(before, between, requests.len()), each(between, after, READS * requests.len()));
    figure(name, format!("{put:6.1} / {get:6.1}"));
    Ok(())
}

/// One request after the other; each answer has a record.
async fn ask_all<'r>(stream: &mut RawStream, requests: impl Iterator<Item = &'r Request>) -> io::Result<()> {
    for request in requests {
        stream.send(request).await?;
        let frame = stream.frame().await?;
        let answer =
            Answer::decode(frame.into(), Kind::GetValue, &Limits::default()).map_err(io::Error::other)?;
        if answer.record.is_none() {
            return Err(io::Error::other(format!("no record in the answer to {request:?}")));
        }
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "a benchmark prints")]
fn figure(what: &str, value: impl std::fmt::Display) {
    println!("{what:<58} {value}");
}

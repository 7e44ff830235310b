//! What a node holds while nothing happens: per head and per connection. Fails when it is more than promised.
//!
//! The node is a process of its own, as an operator runs it; the peers are in this one. What it holds is its resident
//! memory, so that what the allocator keeps back counts.

mod common;

use common::{Link, figure};
use futures::{StreamExt, TryStreamExt, stream};
use hydra_integration_tests::node::{Head, Home, Node};
use hydra_integration_tests::peer::Peer;
use libp2p::Multiaddr;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const HEADS: usize = 1_000;
/// What so many heads may hold, in bytes.
const HEADS_BYTES_MAX: u64 = 300_000_000;
const CONNECTIONS: usize = 1_000;
/// What one idle connection over TCP may hold, in bytes.
const TCP_BYTES_MAX: u64 = 55_000;
/// Handshakes under way at a time, as many as a busy node sees.
const HANDSHAKES: usize = 16;
/// What is under way when the last connection is there has ended then.
const SETTLE: Duration = Duration::from_secs(5);
const KEY: &[u8] = b"\x12\x20thirty-two bytes for a digest ok";

#[tokio::main]
async fn main() -> ExitCode {
    match measure().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(cause) => {
            eprintln!("{cause}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> io::Result<bool> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let heads = idle_heads().await?;
    let tcp = idle_connections("TCP", Head::tcp).await?;
    idle_connections("QUIC", Head::quic).await?;
    Ok(heads <= HEADS_BYTES_MAX && tcp <= TCP_BYTES_MAX)
}

/// Starts a thousand heads twice, the second time with their identities known, and uses two of them.
async fn idle_heads() -> io::Result<u64> {
    let home = Home::new()?;
    let count = format!("heads.count={HEADS}");
    let started = Instant::now();
    let node = Node::start_in(&home, &[&count]).await?;
    let first = (started.elapsed(), node.cpu_time()?);
    stop(node).await?;

    let started = Instant::now();
    let node = Node::start_in(&home, &[&count]).await?;
    let again = (started.elapsed(), node.cpu_time()?);
    tokio::time::sleep(SETTLE).await;
    let bytes = node.memory_bytes()?;
    figure(&format!("{HEADS} idle heads"), against(bytes, HEADS_BYTES_MAX, 1_000_000, "MB"));
    figure("  file descriptors", node.descriptors()?);
    let start = |(took, cpu): (Duration, Duration)| {
        format!("{:.1} s, {:.1} s of CPU", took.as_secs_f64(), cpu.as_secs_f64())
    };
    figure("  first start, identities derived", start(first));
    figure("  later start", start(again));
    use_two(&node).await?;
    let began = Instant::now();
    stop(node).await?;
    figure("  stop", format!("{:.1} s", began.elapsed().as_secs_f64()));
    Ok(bytes)
}

/// A record that came to one head is found at another.
async fn use_two(node: &Node) -> io::Result<()> {
    let heads = node.heads();
    let (Some(one), Some(other)) = (heads.get(17), heads.get(HEADS - 17)) else {
        return Err(io::Error::other(format!("{} heads", heads.len())));
    };
    let provider = Peer::listening("/ipfs/kad/1.0.0").await;
    provider.provide(one.tcp(), KEY, &provider.addresses).await.map_err(io::Error::other)?;
    let found = Peer::client("/ipfs/kad/1.0.0")
        .providers_until(other.quic(), KEY, |answer| !answer.providers.is_empty())
        .await
        .map_err(io::Error::other)?;
    if found.providers.is_empty() {
        return Err(io::Error::other("a record is not found at another head"));
    }
    Ok(())
}

async fn stop(node: Node) -> io::Result<()> {
    let home = node.home().clone();
    let status = node.stop().await?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{status}; {}", home.log()))) }
}

/// Connects so many peers to one head and returns what each costs it.
async fn idle_connections(transport: &str, at: impl Fn(&Head) -> &Multiaddr) -> io::Result<u64> {
    let node = Node::start(&["heads.count=1", "connections.idle_timeout_s=3600"]).await?;
    let head = node.heads().first().ok_or_else(|| io::Error::other("no head"))?;
    let address = at(head).clone();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = node.memory_bytes()?;
    let links: Vec<Link> = stream::iter(0..CONNECTIONS)
        .map(|_| Link::connect(&address))
        .buffer_unordered(HANDSHAKES)
        .try_collect()
        .await?;
    tokio::time::sleep(SETTLE).await;
    let each = node.memory_bytes()?.saturating_sub(before) / links.len() as u64;
    let what = format!("an idle connection over {transport}, of {CONNECTIONS}");
    match transport {
        "TCP" => figure(&what, against(each, TCP_BYTES_MAX, 1_000, "kB")),
        _ => figure(&what, format!("{:.1} kB", each as f64 / 1e3)),
    }
    drop(links);
    stop(node).await?;
    Ok(each)
}

fn against(bytes: u64, max: u64, unit: u64, name: &str) -> String {
    let verdict = if bytes <= max { "kept" } else { "BROKEN" };
    format!("{:.1} {name} (at most {}: {verdict})", bytes as f64 / unit as f64, max / unit)
}

//! Brings a node to where it is after hours: what it keeps ready is there, and what is bounded has been full once.

use crate::form::Form;
use crate::load;
use crate::sample::node_sample;
use crate::server::Server;
use hydra_integration_tests::node::Node;
use std::io;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// What a connection of the store plans and caches with its first statements would take seconds of a small share.
const FIRST: Duration = Duration::from_secs(4);
const FIRST_RATE: f64 = 1_000.0;
/// How often it is looked whether the node has come to rest, and for how long at most.
const LOOK: Duration = Duration::from_millis(500);
const REST_MAX: Duration = Duration::from_secs(120);

/// Uses every connection of the store, then fills the write queue while the server is frozen, and waits until it is empty again.
/// The memory of a full queue stays with the node, so that a step is not measured without it and a later one with it.
///
/// # Errors
/// If the load cannot be sent, or the node does not come to rest.
pub(crate) async fn warm_up(nodes: &[Node], server: &Server, form: &Form) -> io::Result<()> {
    send(nodes, form.keys, FIRST_RATE, FIRST).await?;
    let frozen = Frozen::new(server)?;
    send(nodes, form.keys, form.frozen_rate, form.frozen).await?;
    drop(frozen);
    for node in nodes {
        rest(node).await?;
    }
    Ok(())
}

async fn send(nodes: &[Node], keys: u64, per_second: f64, duration: Duration) -> io::Result<()> {
    let plan = load::plan(load::heads(nodes)?, keys, vec![load::step(per_second, duration)]);
    hydra_load::run(plan, |_| {}, std::future::pending()).await.map(drop).map_err(io::Error::other)
}

async fn rest(node: &Node) -> io::Result<()> {
    let address = node.http().ok_or_else(|| io::Error::other("the node has no metrics"))?;
    let since = Instant::now();
    loop {
        let sample = node_sample(address).await?;
        if sample.write_queue == 0.0 && sample.read_rung == "full" && sample.write_rung == "full" {
            return Ok(());
        }
        if since.elapsed() > REST_MAX {
            return Err(io::Error::other(format!("the node does not come to rest: {sample:?}")));
        }
        sleep(LOOK).await;
    }
}

/// A server that does nothing until this is dropped.
struct Frozen<'a>(&'a Server);

impl<'a> Frozen<'a> {
    fn new(server: &'a Server) -> io::Result<Self> {
        server.signal_all("STOP").map(|()| Self(server))
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if let Err(cause) = self.0.signal_all("CONT") {
            eprintln!("the server stays frozen: {cause}");
        }
    }
}

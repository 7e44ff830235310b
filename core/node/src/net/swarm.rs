//! Builds a swarm: its transports, its limits, and tasks whose panic ends only their head.

use futures::FutureExt;
use libp2p::identity::Keypair;
use libp2p::swarm::{Config, NetworkBehaviour, Swarm};
use libp2p::{SwarmBuilder, noise, tcp, tls, yamux};
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// What the agents of others see.
pub(crate) const AGENT: &str = concat!("hydra/", env!("CARGO_PKG_VERSION"));
/// The protocol version that the peers of the IPFS network tell.
pub(crate) const PROTOCOL_VERSION: &str = "ipfs/0.1.0";

/// Streams of a connection beside those of the Kademlia protocol: identify, ping, and those that this side opens.
const OTHER_STREAMS_MAX: usize = 32;
/// Yamux ends the whole connection at its limit. A peer that keeps to the protocol has at most so many streams that are
/// not acknowledged yet (the backlog of rust-yamux and go-yamux), so that beyond these it never comes to that: surplus
/// streams are reset one by one, by the limits of the swarm and of the protocol.
const YAMUX_BACKLOG: usize = 256;
/// The maximum number of unread bytes of a QUIC stream and of a QUIC connection.
const QUIC_STREAM_BYTES_MAX: u32 = 256 << 10;
const QUIC_CONNECTION_BYTES_MAX: u32 = 4 << 20;

/// How names in addresses are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// By the system's resolver, `/dnsaddr` too.
    Resolve,
    /// Not at all: addresses with names are not dialed.
    Ignore,
}

/// A swarm over TCP (Noise and TLS, Yamux) and QUIC version 1 (requirement N3).
///
/// A panic in one of its tasks notifies `panicked`. A connection has up to `streams_max` inbound streams of the Kademlia
/// protocol, and some more of others.
///
/// # Errors
/// When the key does not yield a certificate, or the system's resolver config cannot be read.
pub(crate) fn build<B: NetworkBehaviour>(
    key: Keypair,
    behaviour: B,
    names: Names,
    (idle, streams_max): (Duration, usize),
    panicked: Arc<Notify>,
) -> Result<Swarm<B>, io::Error> {
    let streams_max = streams_max + OTHER_STREAMS_MAX;
    let muxer = move || {
        let mut muxer = yamux::Config::default();
        muxer.set_max_num_streams(streams_max + YAMUX_BACKLOG);
        muxer
    };
    let config = move |_| {
        Config::with_executor(move |task| watched(task, Arc::clone(&panicked)))
            .with_idle_connection_timeout(idle)
            .with_max_negotiating_inbound_streams(streams_max)
    };
    let builder = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), (tls::Config::new, noise::Config::new), muxer)
        .map_err(io::Error::other)?
        .with_quic_config(|mut quic| {
            quic.max_concurrent_stream_limit = u32::try_from(streams_max).unwrap_or(u32::MAX);
            quic.max_stream_data = QUIC_STREAM_BYTES_MAX;
            quic.max_connection_data = QUIC_CONNECTION_BYTES_MAX;
            quic
        });
    let swarm = match names {
        Names::Resolve => builder
            .with_dns()?
            .with_behaviour(|_| behaviour)
            .unwrap_or_else(|never| match never {})
            .with_swarm_config(config)
            .build(),
        Names::Ignore => builder
            .with_behaviour(|_| behaviour)
            .unwrap_or_else(|never| match never {})
            .with_swarm_config(config)
            .build(),
    };
    Ok(swarm)
}

/// Runs one of the swarm's tasks, such as that of a connection.
fn watched(task: Pin<Box<dyn Future<Output = ()> + Send>>, panicked: Arc<Notify>) {
    tokio::spawn(async move {
        if AssertUnwindSafe(task).catch_unwind().await.is_err() {
            panicked.notify_one();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_panic_of_a_task_notifies() {
        let panicked = Arc::new(Notify::new());
        watched(Box::pin(async { panic!("in a connection") }), Arc::clone(&panicked));
        panicked.notified().await;
    }
}

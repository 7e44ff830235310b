//! What the swarms of a node connect by.

use super::gated::Gated;
use super::multiplex::Multiplex;
use super::names::{Resolving, Without};
use super::prompt::Prompt;
use super::secure::Secure;
use super::{Names, QUIC_CONNECTION_BYTES_MAX, QUIC_STREAM_BYTES_MAX};
use crate::net::dial_gate::Dials;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, Transport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{PeerId, quic, tcp};
use std::io;
use std::sync::Arc;

/// TCP (TLS or Noise, Yamux) and QUIC version 1 (requirement N3), whose dials pass the gate, with so many streams a
/// connection.
pub(super) fn of(
    key: &Keypair,
    names: Names,
    dials: Dials,
    streams_max: usize,
) -> io::Result<Boxed<(PeerId, StreamMuxerBox)>> {
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(Secure::new(key)?)
        .multiplex(Multiplex { streams_max })
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(Prompt::new(connection, |error| error))));
    let mut config = quic::Config::new(key);
    config.max_concurrent_stream_limit = u32::try_from(streams_max).unwrap_or(u32::MAX);
    config.max_stream_data = QUIC_STREAM_BYTES_MAX;
    config.max_connection_data = QUIC_CONNECTION_BYTES_MAX;
    let quic = quic::tokio::Transport::new(config)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(Prompt::new(connection, io::Error::other))));
    let inner = tcp.or_transport(quic).map(|either, _| either.into_inner()).boxed();
    let gate = Arc::clone(dials.gate());
    let gated = Gated { inner, dials };
    Ok(match names {
        Names::Resolve => Resolving::new(gated, Without::Later, gate).boxed(),
        Names::ResolveOrFail => Resolving::new(gated, Without::Failed, gate).boxed(),
        Names::Ignore => gated.boxed(),
    })
}

//! The protocols of a head.

use super::Parts;
use super::connection_limits::{ConnectionLimits, Marks};
use super::long_identify::LongIdentify;
use crate::net::autonat;
use crate::net::heads::Traffic;
use crate::net::requests::activity::Activity;
use crate::net::requests::request_handler::RequestHandler;
use crate::net::swarm::{AGENT, PROTOCOL_VERSION};
use hydra_kad::Mode;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{identify, ping};
use std::sync::Arc;
use std::time::Duration;

/// Idle connections end before a ping would be due: heads answer pings and send next to none.
const PING_INTERVAL: Duration = Duration::from_secs(600);

/// The protocols of a head, and the limits of its connections.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    /// First, so that it sees every connection, and what the others refuse after it.
    pub(super) connections: ConnectionLimits,
    limits: libp2p::connection_limits::Behaviour,
    identify: identify::Behaviour,
    pub(super) long_identify: LongIdentify,
    ping: ping::Behaviour,
    autonat: autonat::Behaviour,
    pub(super) kad: hydra_kad::Behaviour<RequestHandler>,
}

/// The protocols of this head in this mode, and what has others test whether they reach it.
pub(super) fn of(parts: &Parts, mode: Mode) -> (Behaviour, autonat::Client) {
    let connections = &parts.config.connections;
    let limits = libp2p::connection_limits::ConnectionLimits::default()
        .with_max_pending_outgoing(Some(connections.pending_max))
        .with_max_established_per_peer(Some(connections.per_peer_max));
    let identify = identify::Config::new(PROTOCOL_VERSION.to_owned(), parts.key.public())
        .with_agent_version(AGENT.to_owned())
        // It tells the external addresses alone: those that the head advertises.
        .with_hide_listen_addrs(true)
        .with_cache_size(0);
    let activity = Arc::<Activity>::default();
    let counted = Arc::clone(&activity);
    let traffic = move || Traffic { connections: counted.held().len(), requests: counted.requests() };
    parts.list.count_by(parts.slot, traffic);
    let service = RequestHandler {
        slot: parts.slot,
        peer: parts.key.public().to_peer_id(),
        proof: Arc::clone(&parts.proof),
        shared: Arc::clone(&parts.shared),
        activity: Arc::clone(&activity),
    };
    let marks = Marks::of_head(connections);
    let (autonat, tester) = autonat::Behaviour::new();
    let behaviour = Behaviour {
        limits: libp2p::connection_limits::Behaviour::new(limits),
        connections: ConnectionLimits::new(
            (marks, connections.pending_max),
            Arc::clone(&parts.connections),
            activity,
            Arc::clone(&parts.shared.table),
        ),
        identify: identify::Behaviour::new(identify),
        long_identify: LongIdentify::default(),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL)),
        autonat,
        kad: hydra_kad::Behaviour::new(parts.kad.clone(), Arc::new(service), mode),
    };
    (behaviour, tester)
}

//! What the events of a head's swarm change: its status, the peer table, the addresses of peers.

use super::Parts;
use super::behaviour::{Behaviour, BehaviourEvent};
use super::listen::Listeners;
use super::long_identify::Identified;
use crate::net::heads::{ListenerCounts, Status};
use crate::net::peer_addresses::{ADDRESSES_PER_PEER_MAX, worth_keeping};
use crate::net::routing::lookup::Contact;
use crate::net::routing::table_maintenance::Candidate;
use hydra_kad::Mode;
use libp2p::swarm::{Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, identify};
use std::net::IpAddr;
use std::time::Instant;
use tokio::sync::watch;

/// The external addresses that libp2p keeps of a swarm: with one more it drops any of them.
const IDENTIFY_ADDRESSES_MAX: usize = 20;

/// Notes which program is at the other end of a connection, for how long its answers may be (requirement V17), and has a
/// message read that identify did not.
pub(super) fn record_agent(swarm: &mut Swarm<Behaviour>, event: &SwarmEvent<BehaviourEvent>) {
    let behaviour = swarm.behaviour_mut();
    match event {
        SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => {
            if let identify::Event::Received { connection_id, info, .. } = event {
                behaviour.connections.identified(*connection_id, &info.agent_version);
            }
            behaviour.long_identify.on_event(event);
        }
        SwarmEvent::Behaviour(BehaviourEvent::LongIdentify(Identified { connection, message, .. })) => {
            behaviour.connections.identified(*connection, &message.agent);
        }
        _ => {}
    }
}

/// Takes up one event of the swarm.
pub(super) fn on_event(
    parts: &Parts,
    status: &watch::Sender<Status>,
    on: (&mut Swarm<Behaviour>, &Listeners),
    event: SwarmEvent<BehaviourEvent>,
) {
    match event {
        SwarmEvent::NewListenAddr { address, .. } => {
            on_addresses_changed(parts, status, on, |addresses| {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            });
        }
        SwarmEvent::ExpiredListenAddr { address, .. } => {
            on_addresses_changed(parts, status, on, |addresses| addresses.retain(|known| *known != address));
        }
        SwarmEvent::ListenerClosed { addresses: closed, .. } => {
            on_addresses_changed(parts, status, on, |addresses| {
                addresses.retain(|known| !closed.contains(known))
            });
        }
        SwarmEvent::ListenerError { error, .. } => parts.connections.on_accept_failed(&error),
        SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
            connection_id,
            peer_id,
            info,
        })) => {
            let host = on.0.behaviour().connections.host(connection_id);
            on_identified(parts, (peer_id, host), &info.protocols, info.listen_addrs);
        }
        SwarmEvent::Behaviour(BehaviourEvent::LongIdentify(Identified { peer, connection, message })) => {
            let host = on.0.behaviour().connections.host(connection);
            on_identified(parts, (peer, host), &message.protocols, message.addresses);
        }
        _ => {}
    }
}

/// Notes a change of the addresses, and updates the table, the peer addresses and what identify tells: all of them have the
/// addresses that the head advertises.
pub(super) fn on_addresses_changed(
    parts: &Parts,
    status: &watch::Sender<Status>,
    (swarm, listeners): (&mut Swarm<Behaviour>, &Listeners),
    change: impl FnOnce(&mut Vec<Multiaddr>),
) {
    status.send_modify(|status| {
        change(&mut status.addresses);
        status.ready = listeners.are_settled();
        status.listeners = listeners.counts();
        status.failure = None;
        status.advertised =
            parts.own_addresses.advertised(&status.addresses, |announced| listeners.serve(announced));
    });
    let advertised = status.borrow().advertised.clone();
    identify_by(swarm, &advertised);
    let peer = parts.key.public().to_peer_id();
    // Answers name servers alone: a head that has left for an ebb is none.
    let is_server = swarm.behaviour().kad.mode() == Mode::Server;
    let listed = if is_server { advertised.as_slice() } else { &[] };
    parts.shared.table.set_own(peer, listed, Instant::now());
    if advertised.is_empty() {
        parts.shared.peer_addresses.forget(&peer);
    } else {
        parts.shared.peer_addresses.record(peer, advertised);
    }
    parts.list.on_change();
}

/// Takes back the addresses of a head that failed: until it is started again, nobody reaches it.
pub(super) fn on_down(parts: &Parts, status: &watch::Sender<Status>) {
    status.send_modify(|status| {
        status.addresses.clear();
        status.advertised.clear();
        let down = u32::try_from(parts.listen.len()).unwrap_or(u32::MAX);
        status.listeners = ListenerCounts { up: 0, down };
    });
    let peer = parts.key.public().to_peer_id();
    parts.shared.table.set_own(peer, &[], Instant::now());
    parts.shared.peer_addresses.forget(&peer);
    parts.list.on_change();
}

/// Has identify tell the first of these addresses and no others.
fn identify_by(swarm: &mut Swarm<Behaviour>, advertised: &[Multiaddr]) {
    let told = advertised.get(..IDENTIFY_ADDRESSES_MAX).unwrap_or(advertised);
    let old: Vec<_> = swarm.external_addresses().filter(|address| !told.contains(address)).cloned().collect();
    old.iter().for_each(|address| swarm.remove_external_address(address));
    for address in told {
        if !swarm.external_addresses().any(|known| known == address) {
            swarm.add_external_address(address.clone());
        }
    }
}

/// Notes what a peer said of itself; a server of our protocol may enter the table, and one that serves no more leaves it
/// (requirement T1).
fn on_identified(
    parts: &Parts,
    (peer, host): (PeerId, Option<IpAddr>),
    protocols: &[StreamProtocol],
    listen: Vec<Multiaddr>,
) {
    parts.shared.testers.on_identified(&peer, protocols);
    let serves = protocols.iter().any(|told| parts.kad.protocols.contains(told));
    let addresses = worth_keeping(&peer, listen, ADDRESSES_PER_PEER_MAX);
    if serves && parts.shared.table.wants(&peer, &addresses) {
        // A full queue loses nothing for good: the peer is met again.
        let contact = Contact { peer, addresses: addresses.clone() };
        drop(parts.candidates.try_send(Candidate { contact, host }));
    }
    if !serves {
        parts.shared.table.remove_foreign(&peer);
    }
    parts.shared.peer_addresses.record(peer, addresses);
}

//! From a request on the wire to its answer: the engine gives providers, the table closer peers.

use crate::config::SmallAnswers;
use crate::net::address::{AddressPolicy, best_first, ip_of, is_relayed, of_peer};
use crate::net::autonat::Servers;
use crate::net::dial_gate::DialGate;
use crate::net::peer_addresses::PeerAddresses;
use crate::net::requests::activity::Activity;
use crate::net::requests::answer_size::Agent;
use crate::net::requests::proof::Proof;
use crate::net::routing::kad_id::KadId;
use crate::net::routing::table::{Server, Table};
use bytes::Bytes;
use hydra_api::{Addresses, Operation, Provider, UnixSeconds};
use hydra_engine::{Caller, Engine, Put, PutRecord};
use hydra_kad::{
    Connection, EncodedPeer, ListedPeer, Peer, Providers, Record, Remote, Reply, Request, Response, Service,
};
use libp2p::{Multiaddr, PeerId};
use std::sync::Arc;
use std::time::Instant;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Closer peers in an answer (k, requirement Q2).
const CLOSER_MAX: usize = 20;
/// The longest target of a FIND_NODE or value request, in bytes. The specification sets none; every id and key in use
/// is far shorter, and the target is hashed before anything else is known of the request.
const TARGET_BYTES_MAX: usize = 1024;

/// What the heads of a node share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Providers, admission, writes.
    pub(crate) engine: Arc<Engine>,
    /// Verified servers.
    pub(crate) table: Arc<Table>,
    /// Peers that were met.
    pub(crate) peer_addresses: Arc<PeerAddresses>,
    /// What every dial passes.
    pub(crate) dials: Arc<DialGate>,
    /// The peers that test whether a head can be reached.
    pub(crate) testers: Arc<Servers>,
    /// Which addresses are kept of others.
    pub(crate) policy: AddressPolicy,
    /// Who gets small answers.
    pub(crate) small_answers: SmallAnswers,
}

/// Answers the requests that come to one head.
#[derive(Debug)]
pub(crate) struct RequestHandler {
    /// The slot of the head.
    pub(crate) slot: u32,
    /// The head.
    pub(crate) peer: PeerId,
    /// Until when its lease is known to be held.
    pub(crate) proof: Arc<Proof>,
    /// What it shares with the others.
    pub(crate) shared: Arc<Shared>,
    /// When its connections were last used.
    pub(crate) activity: Arc<Activity>,
}

impl Service for RequestHandler {
    async fn handle(&self, from: &Remote, request: Request) -> Reply {
        let now = Instant::now();
        let agent = self.activity.record(from.connection, now);
        if !self.proof.holds(now) {
            // Another process may serve this identity by now.
            return Reply::Reset;
        }
        let Some(caller) = self.caller(from) else { return Reply::Reset };
        let reply = match request {
            Request::FindNode { key, .. } => self.find_node(caller, from, &key),
            Request::GetProviders { key, .. } => self.providers(caller, from, &key).await,
            Request::AddProvider { key, providers, .. } => self.announce(caller, from, &key, &providers),
            Request::GetValue { key, .. } => self.value(caller, from, &key).await,
            Request::PutValue { key, record } => self.put_value((caller, agent), &key, record).await,
            Request::Ping { .. } => {
                self.shared.engine.answered(Operation::Ping, caller.head);
                Reply::Answer(Response::default())
            }
        };
        match reply {
            Reply::Answer(response) => {
                let frame_bytes_max = self.shared.small_answers.frame_bytes_max(agent);
                Reply::Answer(Response { frame_bytes_max, ..response })
            }
            Reply::Silence | Reply::Reset => reply,
        }
    }
}

impl RequestHandler {
    fn caller(&self, from: &Remote) -> Option<Caller> {
        let address = if is_relayed(&from.address) { None } else { ip_of(&from.address) };
        let mut bytes = [0; hydra_api::PeerId::LEN_MAX];
        let len = from.peer.as_ref().write(&mut bytes[..]).ok()?;
        let peer = hydra_api::PeerId::new(bytes.get(..len)?).ok()?;
        Some(Caller { peer, address, head: self.slot })
    }

    fn find_node(&self, caller: Caller, from: &Remote, key: &[u8]) -> Reply {
        if key.is_empty() || key.len() > TARGET_BYTES_MAX {
            return Reply::Reset;
        }
        self.shared.engine.answered(Operation::FindNode, caller.head);
        let target = PeerId::from_bytes(key).ok();
        let asked_for = target.and_then(|target| self.known(&target));
        let mut closer = Vec::with_capacity(CLOSER_MAX + 1);
        closer.extend(asked_for);
        let listed = if closer.is_empty() { None } else { target };
        self.add_closer(&mut closer, from, &KadId::of_key(key), listed.as_ref());
        Reply::Answer(Response { closer, ..Response::default() })
    }

    /// A peer that was asked for by its very id, whoever it is (requirement Q5).
    fn known(&self, target: &PeerId) -> Option<ListedPeer> {
        if let Some(met) = self.shared.peer_addresses.find(target) {
            let connection = connection(self.shared.table.is_connected(target));
            return Some(ListedPeer { peer: met.encoded.clone(), connection });
        }
        let snapshot = self.shared.table.snapshot();
        let server = snapshot.find(&KadId::of_peer(target));
        server.filter(|server| !server.addresses.is_empty()).map(|server| listed(server))
    }

    async fn providers(&self, caller: Caller, from: &Remote, key: &[u8]) -> Reply {
        let Ok(found) = self.shared.engine.providers(caller, key).await else { return Reply::Reset };
        // Encoded once for all requests that this answer serves from the second on. A client takes the first ones: each
        // answer begins with another one (requirement V14).
        let listed =
            |providers: &[Provider]| -> Arc<[ListedPeer]> { providers.iter().map(encoded).collect() };
        let known = found.answer.filter(|answer| !answer.providers().is_empty());
        let providers = known.map_or_else(Providers::default, |answer| {
            Providers::beginning_at(Arc::clone(&answer.rendered(listed)), rand::random::<u32>() as usize)
        });
        let mut closer = Vec::with_capacity(CLOSER_MAX);
        self.add_closer(&mut closer, from, &KadId::of_key(key), None);
        Reply::Answer(Response { closer, providers, ..Response::default() })
    }

    fn announce(&self, caller: Caller, from: &Remote, key: &[u8], providers: &[Peer]) -> Reply {
        // Only of the sender itself (requirement V2), and only with an address that can be read (V3). The address
        // policy is asked afterwards: who is behind a relay is kept, without addresses.
        let is_own = |provider: &&Peer| provider.id == caller.peer.as_bytes();
        let mut own = providers.iter().rev().filter(is_own);
        let Some(said) = own.find(|provider| readable(provider).next().is_some()) else {
            return Reply::Reset;
        };
        let addresses = || {
            let known = self.own_addresses(&from.peer).unwrap_or_else(|| readable(said).collect());
            let mut permitted = of_peer(&from.peer, known);
            permitted.retain(|address| self.shared.policy.permits(address));
            // The best ones first: they are those that all clients are told (requirement V17).
            Addresses::fitting(best_first(permitted))
        };
        match self.shared.engine.announce(caller, key, addresses) {
            Ok(_) => Reply::Silence,
            Err(_) => Reply::Reset,
        }
    }

    /// Where a head of this node is, if `peer` is one: the node knows better than the wire (requirement V18).
    fn own_addresses(&self, peer: &PeerId) -> Option<Vec<Multiaddr>> {
        let snapshot = self.shared.table.snapshot();
        let server = snapshot.find(&KadId::of_peer(peer))?;
        server.is_own().then(|| server.addresses.clone())
    }

    async fn value(&self, caller: Caller, from: &Remote, key: &Bytes) -> Reply {
        if key.is_empty() || key.len() > TARGET_BYTES_MAX {
            return Reply::Reset;
        }
        let record = self.shared.engine.value(caller, key).await.record;
        let record = record.map(|record| Record {
            key: key.clone(),
            value: record.value,
            time_received: rfc3339(record.received),
        });
        let mut closer = Vec::with_capacity(CLOSER_MAX);
        self.add_closer(&mut closer, from, &KadId::of_key(key), None);
        Reply::Answer(Response { closer, record, ..Response::default() })
    }

    /// The answer repeats the record that was taken, and nothing of what else the request had (requirement U7). One whose value is
    /// empty tells go and js that it is not stored now, which is neither tried again nor held against the head; without a record
    /// go panics. To rust-libp2p any record says that it is stored.
    async fn put_value(
        &self,
        (caller, agent): (Caller, Agent),
        key: &Bytes,
        record: Option<Record>,
    ) -> Reply {
        let engine = &self.shared.engine;
        let Some(record) = record else { return Reply::Reset };
        let put = engine.put_value(caller, key, PutRecord { key: &record.key, value: &record.value }).await;
        let value = match (put, agent) {
            (Put::Taken, _) => record.value,
            (Put::NotNow, Agent::Unknown | Agent::Other) => Bytes::new(),
            (Put::NotNow, Agent::RustLibp2p) | (Put::Refused, _) => return Reply::Reset,
        };
        let record = Record { key: record.key, value, time_received: rfc3339(engine.date()) };
        Reply::Answer(Response { record: Some(record), ..Response::default() })
    }

    /// The closest servers, without this head, who asks, and who is in the answer already (requirement Q3).
    fn add_closer(
        &self,
        closer: &mut Vec<ListedPeer>,
        from: &Remote,
        target: &KadId,
        there: Option<&PeerId>,
    ) {
        let left_out = |server: &Server| {
            server.peer == self.peer || server.peer == from.peer || Some(&server.peer) == there
        };
        let snapshot = self.shared.table.snapshot();
        snapshot.each_closest(target, CLOSER_MAX, left_out, |server| closer.push(listed(server)));
    }
}

/// A moment as value records tell it (requirement U8).
fn rfc3339(at: UnixSeconds) -> Bytes {
    // Whole seconds up to the year 2106 always have a form.
    let at = OffsetDateTime::from_unix_timestamp(at.0.into()).ok();
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default().into()
}

/// The addresses of a peer that can be read.
fn readable(peer: &Peer) -> impl Iterator<Item = Multiaddr> + '_ {
    let read = peer.addresses.iter().filter_map(|address| Multiaddr::try_from(address.to_vec()).ok());
    read.filter(|address| !address.is_empty())
}

/// What is told of a peer to which there is a connection, or none (requirement Q10).
fn connection(is_connected: bool) -> Connection {
    if is_connected { Connection::Connected } else { Connection::NotConnected }
}

fn listed(server: &Server) -> ListedPeer {
    ListedPeer { peer: server.encoded.clone(), connection: connection(server.is_connected()) }
}

fn encoded(provider: &Provider) -> ListedPeer {
    let peer = EncodedPeer::new(provider.peer.as_bytes(), provider.addresses.iter());
    ListedPeer { peer, connection: Connection::NotConnected }
}

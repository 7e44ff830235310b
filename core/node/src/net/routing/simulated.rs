//! A network that is not there, for tests on a paused clock.

use crate::net::address::{AddressPolicy, ip_of};
use crate::net::dial_gate::{Dial, DialGate, Dials};
use crate::net::heads::{Head, HeadList, Status};
use crate::net::routing::kad_id::KadId;
use crate::net::routing::lookup::Contact;
use crate::net::routing::network::{Network, Sender};
use crate::net::routing::table::{Limits, Server, Table};
use hydra_kad::AskError;
use libp2p::core::transport::TransportError;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::DialError;
use libp2p::{Multiaddr, PeerId};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long an answer takes, and how long a request to a dead server.
const ANSWER: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection of the scout, and of a head, stays open without a request.
const SCOUT_IDLE: Duration = Duration::from_secs(10);
const HEAD_IDLE: Duration = Duration::from_secs(120);
pub(super) const ROOMY: Limits = Limits {
    len_max: 1_000_000,
    bucket_len_max: 20,
    bucket_group_len_max: usize::MAX,
    group_len_max: usize::MAX,
    group_own_max: usize::MAX,
};

/// Servers that all know one another.
#[derive(Debug)]
pub(super) struct Simulated {
    all: Table,
    dead: HashSet<PeerId>,
    /// Whether the node itself cannot ask anybody.
    pub(super) cut_off: AtomicBool,
    /// Whether the network around the node is gone, so that every dial fails at once.
    pub(super) unplugged: AtomicBool,
    /// Who was asked by whom (nobody stands for the scout), and when.
    pub(super) asked: Mutex<Vec<(Option<PeerId>, PeerId, Instant)>>,
    /// What dials pass; without it all are connected to all.
    gate: Option<Arc<DialGate>>,
    open: Mutex<HashMap<Ends, Open>>,
    /// Who was dialed, and when.
    pub(super) dialed: Mutex<Vec<(PeerId, Instant)>>,
}

/// Who asks, and who is asked.
type Ends = (Option<PeerId>, PeerId);

/// A connection: until when it stays open without another request.
#[derive(Debug)]
struct Open {
    until: Instant,
    _dial: Dial,
}

impl Simulated {
    /// So many servers, and every `dead_every`th of them dead.
    pub(super) fn new(servers: u32, dead_every: usize) -> Arc<Self> {
        let limits = Limits { bucket_len_max: usize::MAX, ..ROOMY };
        let all = Table::new(AddressPolicy::Any, limits);
        all.set_own(PeerId::random(), &[], Instant::now().into_std());
        for nth in 1..=servers {
            let ip = Multiaddr::from(Ipv4Addr::from(0x1000_0000 + (nth << 4)));
            let tcp = ip.clone().with(Protocol::Tcp(4001));
            let quic = ip.with(Protocol::Udp(4001)).with(Protocol::QuicV1);
            all.insert(PeerId::random(), &[tcp, quic], None, Instant::now().into_std()).unwrap();
        }
        let dead = all
            .snapshot()
            .servers()
            .skip(dead_every - 1)
            .step_by(dead_every)
            .map(|server| server.peer)
            .collect();
        Arc::new(Self {
            all,
            dead,
            cut_off: AtomicBool::new(false),
            unplugged: AtomicBool::new(false),
            asked: Mutex::default(),
            gate: None,
            open: Mutex::default(),
            dialed: Mutex::default(),
        })
    }

    /// The same, of which each is dialed before it is asked, as far as the budgets of dials allow.
    pub(super) fn to_be_dialed(servers: u32, dead_every: usize) -> Arc<Self> {
        let mut all = Self::new(servers, dead_every);
        let gate = Some(Arc::new(DialGate::new(AddressPolicy::Any)));
        if let Some(all) = Arc::get_mut(&mut all) {
            all.gate = gate;
        }
        all
    }

    /// All of them.
    pub(super) fn contacts(&self) -> Vec<Contact> {
        let snapshot = self.all.snapshot();
        snapshot.servers().filter(|server| !server.is_own()).map(contact).collect()
    }

    /// Notes that a server was reached, when it still lived.
    pub(super) fn was_reached(&self, contact: &Contact) {
        let (gate, address) = (self.gate.as_ref().unwrap(), &contact.addresses[0]);
        let ip = ip_of(address).unwrap();
        let dial = gate.for_checks().admit(None, ip, std::time::Instant::now()).unwrap();
        dial.succeeded(contact.peer, address.clone());
    }

    /// Whether this one never answers.
    pub(super) fn is_dead(&self, peer: &PeerId) -> bool {
        self.dead.contains(peer)
    }

    /// The living ones that are closest to a key.
    pub(super) fn closest_alive(&self, id: &KadId, count: usize) -> Vec<PeerId> {
        let dead = |server: &Server| server.is_own() || self.dead.contains(&server.peer);
        self.all.snapshot().closest(id, count, dead).iter().map(|server| server.peer).collect()
    }
}

impl Simulated {
    /// Opens a connection between the two, if there is none: all addresses are dialed at once, and one is enough.
    async fn connect(&self, ends: Ends, to: &Contact) -> Result<(), AskError> {
        let Some(gate) = &self.gate else { return Ok(()) };
        let until = Instant::now() + if ends.0.is_none() { SCOUT_IDLE } else { HEAD_IDLE };
        if self.is_open(ends, until) {
            return Ok(());
        }
        let swarm = if ends.0.is_none() { gate.for_checks() } else { Dials::from(Arc::clone(gate)) };
        let (mut dials, mut failed) = (Vec::new(), Vec::new());
        for address in &to.addresses {
            let Some(ip) = ip_of(address) else { continue };
            let error = match swarm.admit(Some(&to.peer), ip, Instant::now().into_std()) {
                Ok(dial) => {
                    dials.push((dial, address.clone()));
                    io::ErrorKind::TimedOut.into()
                }
                Err(refusal) => io::Error::other(refusal),
            };
            failed.push((address.clone(), TransportError::Other(error)));
        }
        self.dialed.lock().unwrap().extend(dials.iter().map(|_| (to.peer, Instant::now())));
        if self.dead.contains(&to.peer) && !dials.is_empty() {
            tokio::time::sleep(TIMEOUT).await;
            dials.clear();
        }
        let Some((dial, address)) = dials.into_iter().next() else {
            return Err(AskError::of_dial(&DialError::Transport(failed)));
        };
        dial.succeeded(to.peer, address);
        self.open.lock().unwrap().insert(ends, Open { until, _dial: dial });
        Ok(())
    }

    /// Whether there is a connection, which then stays open as long.
    fn is_open(&self, ends: Ends, until: Instant) -> bool {
        let mut open = self.open.lock().unwrap();
        open.retain(|_, open| open.until > Instant::now());
        open.get_mut(&ends).map(|open| open.until = until).is_some()
    }
}

fn contact(server: &Arc<Server>) -> Contact {
    Contact { peer: server.peer, addresses: server.addresses.clone() }
}

impl Network for Simulated {
    async fn find_node(
        &self,
        sender: Sender<'_>,
        to: Contact,
        key: Vec<u8>,
    ) -> Result<Vec<Contact>, AskError> {
        if self.cut_off.load(Ordering::Relaxed) {
            return Err(AskError::Busy);
        }
        if self.unplugged.load(Ordering::Relaxed) {
            return Err(AskError::Dial(io::ErrorKind::NetworkUnreachable.to_string()));
        }
        let sender = match sender {
            Sender::Scout => None,
            Sender::Head(head) => Some(head.peer),
        };
        self.connect((sender, to.peer), &to).await?;
        self.asked.lock().unwrap().push((sender, to.peer, Instant::now()));
        if self.dead.contains(&to.peer) {
            tokio::time::sleep(TIMEOUT).await;
            return Err(AskError::Deadline);
        }
        tokio::time::sleep(ANSWER).await;
        Ok(self
            .all
            .snapshot()
            .closest(&KadId::of_key(&key), 20, Server::is_own)
            .iter()
            .map(contact)
            .collect())
    }

    fn whereabouts(&self, contact: &Contact) -> (Option<IpAddr>, Vec<Multiaddr>) {
        (contact.addresses.iter().find_map(ip_of), contact.addresses.clone())
    }

    fn has_room(&self, peer: &PeerId, addresses: &[Multiaddr]) -> bool {
        let now = Instant::now();
        self.open.lock().unwrap().retain(|_, open| open.until > now);
        self.gate.as_ref().is_none_or(|gate| gate.has_room(peer, addresses, now.into_std()))
    }
}

/// Heads that are in the table.
pub(super) fn heads(count: u32, table: &Table) -> Arc<HeadList> {
    let list = HeadList::default();
    for slot in 0..count {
        let head = Head::idle(slot, watch::channel(Status::default()).1);
        let peer = head.peer;
        list.add(head);
        table.set_own(peer, &["/ip4/127.0.0.1/tcp/1".parse().unwrap()], Instant::now().into_std());
    }
    Arc::new(list)
}

//! The candidates that wait to be probed.

use super::{AGAIN, CANDIDATES_MAX, Parts};
use crate::net::routing::lookup::Contact;
use crate::net::routing::network::Network;
use hydra_kad::AskError;
use libp2p::PeerId;
use quick_cache::unsync::Cache;
use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// A peer is probed as a candidate once in so long.
const PROBED_AGAIN: Duration = Duration::from_secs(600);
const PROBED_MAX: usize = 16_384;
/// Probes under way at a time: of those that others named or the last run left, and of those that connected to a head.
pub(super) const PROBES_MAX: usize = 16;
const MET_PROBES_MAX: usize = 8;
/// Candidates of one host that connected to heads, in all: many identities on one host take the turns of nobody else.
pub(super) const HOST_MAX: usize = 4;
/// The longest pause until bootstrap peers are probed again while the table has too few servers.
const BOOTSTRAP_AGAIN_MAX: Duration = Duration::from_secs(300);

/// A server that has said itself where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The server.
    pub(crate) contact: Contact,
    /// From where it connected to a head; none of loopback and of those that a head connected to.
    pub(crate) host: Option<IpAddr>,
}

/// By whose word a peer is where it is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Its own; from this host.
    Met(Option<IpAddr>),
    /// That of another peer, or of the config.
    Heard,
    /// That of the last run.
    Saved,
}

impl Source {
    const fn is_met(self) -> bool {
        matches!(self, Self::Met(_))
    }
}

/// A peer that is probed, or waits for it.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    pub(super) contact: Contact,
    pub(super) source: Source,
}

/// Who waits to be probed, who is being probed, and who was lately.
#[derive(Debug)]
pub(super) struct Queue {
    met: VecDeque<Probe>,
    heard: VecDeque<Probe>,
    /// Those that the last run left: all others go first, as nobody may be there any more.
    saved: VecDeque<Probe>,
    under_way: Vec<Probe>,
    /// Those that the node could not ask: a budget was used up, or the scout was down.
    unsent: Vec<Probe>,
    probed: Cache<PeerId, Probed>,
    /// When the bootstrap peers are asked again, and the pause after that.
    bootstrap_at: Instant,
    bootstrap_pause: Duration,
}

/// The last probe of a peer.
#[derive(Debug, Clone, Copy)]
struct Probed {
    at: Instant,
    /// Stands for the addresses.
    addresses: u64,
    has_answered: bool,
}

/// What becomes of peers that are no bootstrap peers and were probed lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// They may be probed again at once.
    Again,
    /// Nothing.
    AsBefore,
}

impl Queue {
    /// Those that the last run left.
    pub(super) fn new(saved: Vec<Contact>) -> Self {
        let saved = saved.into_iter().map(|contact| Probe { contact, source: Source::Saved });
        Self {
            met: VecDeque::new(),
            heard: VecDeque::new(),
            saved: saved.collect(),
            under_way: Vec::new(),
            unsent: Vec::new(),
            probed: Cache::new(PROBED_MAX),
            bootstrap_at: Instant::now() + AGAIN,
            bootstrap_pause: AGAIN,
        }
    }

    /// Adds a server that a head met, while there is room for it and for its host.
    pub(super) fn meet(&mut self, met: Candidate) {
        let source = Source::Met(met.host);
        let of_host = || {
            let all = self.met.iter().chain(&self.under_way).chain(&self.unsent);
            all.filter(|probe| probe.source == source).count()
        };
        let has_room = met.host.is_none() || of_host() < HOST_MAX;
        if has_room && self.met.len() < CANDIDATES_MAX {
            self.met.push_back(Probe { contact: met.contact, source });
        }
    }

    /// Adds those that others named, while there is room.
    pub(super) fn hear(&mut self, contacts: impl IntoIterator<Item = Contact>) {
        let room = CANDIDATES_MAX.saturating_sub(self.heard.len());
        let heard = contacts.into_iter().take(room);
        self.heard.extend(heard.map(|contact| Probe { contact, source: Source::Heard }));
    }

    /// The next one that is worth a probe, which is under way from now on.
    pub(super) fn next<N: Network>(&mut self, parts: &Parts<N>) -> Option<Probe> {
        while let Some(probe) = self.pop() {
            if self.is_due(&probe) && parts.is_worth_a_probe(&probe.contact) {
                self.note(&probe.contact, false);
                self.under_way.push(probe.clone());
                return Some(probe);
            }
        }
        None
    }

    /// Neither kind waits for the other: one kind alone may be all black holes.
    fn pop(&mut self) -> Option<Probe> {
        let met = self.under_way.iter().filter(|probe| probe.source.is_met()).count();
        if met < MET_PROBES_MAX && !self.met.is_empty() {
            return self.met.pop_front();
        }
        let has_room = self.under_way.len() - met < PROBES_MAX;
        if has_room { self.heard.pop_front().or_else(|| self.saved.pop_front()) } else { None }
    }

    /// Whether it was not probed lately. That nobody answered where another peer said that it is, is held against no other
    /// address; and what a peer says of itself is looked at whatever others said.
    fn is_due(&self, probe: &Probe) -> bool {
        let last = self.probed.get(&probe.contact.peer);
        last.filter(|last| last.at.elapsed() < PROBED_AGAIN).is_none_or(|last| {
            let has_moved = last.addresses != stand_in(&probe.contact);
            has_moved && (probe.source.is_met() || !last.has_answered)
        })
    }

    fn note(&mut self, contact: &Contact, has_answered: bool) {
        let probed = Probed { at: Instant::now(), addresses: stand_in(contact), has_answered };
        self.probed.insert(contact.peer, probed);
    }

    /// A probe has ended. One that was not sent does not count, and is tried again.
    pub(super) fn probed<T>(&mut self, probe: Probe, answer: &Result<T, AskError>) {
        let is_this = |one: &Probe| one.contact.peer == probe.contact.peer && one.source == probe.source;
        if let Some(at) = self.under_way.iter().position(is_this) {
            self.under_way.swap_remove(at);
        }
        match answer {
            Ok(_) => self.note(&probe.contact, true),
            Err(error) if error.is_local() => {
                self.probed.remove(&probe.contact.peer);
                let is_met = probe.source.is_met();
                let alike = self.unsent.iter().filter(|one| one.source.is_met() == is_met);
                if alike.count() < CANDIDATES_MAX {
                    self.unsent.push(probe);
                }
            }
            Err(_) => {}
        }
    }

    /// Lets those wait again that could not be asked.
    pub(super) fn retry(&mut self) {
        for probe in self.unsent.drain(..) {
            match probe.source {
                Source::Met(_) => self.met.push_back(probe),
                Source::Heard => self.heard.push_back(probe),
                Source::Saved => self.saved.push_back(probe),
            }
        }
    }

    /// Whether a peer waits to be probed by the word of others or of the config, or is being probed.
    pub(super) fn is_asking(&self, peer: &PeerId) -> bool {
        self.heard.iter().chain(&self.unsent).chain(&self.under_way).any(|probe| probe.contact.peer == *peer)
    }

    /// Asks these bootstrap peers again, less and less often while that helps nothing.
    pub(super) fn join_again<'a>(&mut self, bootstrap: impl Iterator<Item = &'a Contact>, others: Others) {
        let now = Instant::now();
        if now < self.bootstrap_at {
            return;
        }
        self.bootstrap_pause = (2 * self.bootstrap_pause).min(BOOTSTRAP_AGAIN_MAX);
        self.bootstrap_at = now + self.bootstrap_pause;
        match others {
            Others::Again => self.start_again(bootstrap),
            Others::AsBefore => self.join(bootstrap),
        }
    }

    /// Asks the bootstrap peers again, and everybody else who comes along.
    pub(super) fn start_again<'a>(&mut self, bootstrap: impl Iterator<Item = &'a Contact>) {
        self.probed.clear();
        self.join(bootstrap);
    }

    /// Asks these bootstrap peers before all others.
    pub(super) fn join<'a>(&mut self, bootstrap: impl Iterator<Item = &'a Contact>) {
        for contact in bootstrap {
            self.probed.remove(&contact.peer);
            self.heard.push_front(Probe { contact: contact.clone(), source: Source::Heard });
        }
    }

    /// The server has joined the network.
    pub(super) fn joined(&mut self) {
        self.bootstrap_pause = AGAIN;
    }

    /// Those that were not probed yet.
    pub(super) fn unproven(self) -> impl Iterator<Item = Contact> {
        let waiting = self.heard.into_iter().chain(self.met).chain(self.unsent).chain(self.saved);
        self.under_way.into_iter().chain(waiting).map(|probe| probe.contact)
    }
}

/// A number that stands for the addresses of a peer, whatever their order.
fn stand_in(contact: &Contact) -> u64 {
    let mut hasher = DefaultHasher::new();
    contact.addresses.iter().collect::<BTreeSet<_>>().hash(&mut hasher);
    hasher.finish()
}

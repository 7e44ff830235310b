//! Finding the servers closest to a key by asking ever closer ones.

use crate::net::address::ip_of;
use crate::net::routing::kad_id::KadId;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use libp2p::{Multiaddr, PeerId};
use std::collections::HashSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::future::Future;
use std::net::IpAddr;

/// Somebody to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Who.
    pub peer: PeerId,
    /// Where.
    pub addresses: Vec<Multiaddr>,
}

/// How a lookup goes about it (IPFS Kademlia DHT specification, "Client behavior").
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How many are asked at a time (α).
    pub parallel_max: usize,
    /// How many of the closest must have answered until no further ones are asked (β).
    pub settled_min: usize,
    /// How many closest ones are wanted (k).
    pub wanted: usize,
    /// How many are taken from one answer.
    pub heard_per_answer_max: usize,
    /// How many are asked in all.
    pub asked_max: usize,
}

impl Pace {
    /// α = 10, β = 3, k = 20, 40 from an answer (requirement T7).
    pub const AMINO: Self =
        Self { parallel_max: 10, settled_min: 3, wanted: 20, heard_per_answer_max: 40, asked_max: 200 };
}

/// What a lookup has found.
#[derive(Debug)]
pub struct Found {
    /// The closest that answered, the closest first.
    pub closest: Vec<Contact>,
    /// By how many servers, one after the other, the closest of them was found.
    pub hops: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Heard,
    Asked,
    Answered,
    Failed,
}

#[derive(Debug)]
struct Known {
    contact: Contact,
    state: State,
    hops: u32,
    second: SecondWord,
}

/// What another peer said of where one is: the first may have lied.
#[derive(Debug, PartialEq, Eq)]
enum SecondWord {
    None,
    Heard(Vec<Multiaddr>),
    /// It is asked by this one: there is no third.
    Used,
}

impl Known {
    fn heard_again(&mut self, addresses: Vec<Multiaddr>) {
        let is_new = |ip: IpAddr| !self.contact.addresses.iter().any(|known| ip_of(known) == Some(ip));
        if self.second == SecondWord::None && addresses.iter().filter_map(ip_of).any(is_new) {
            self.second = SecondWord::Heard(addresses);
            self.next_word();
        }
    }

    /// One that failed where the first said is asked where the second said.
    fn next_word(&mut self) {
        if self.state == State::Failed
            && let SecondWord::Heard(addresses) = &mut self.second
        {
            self.contact.addresses = std::mem::take(addresses);
            (self.state, self.second) = (State::Heard, SecondWord::Used);
        }
    }
}

struct Search<'a> {
    target: &'a KadId,
    /// By distance to the target.
    known: BTreeMap<[u8; 32], Known>,
    /// Those that fell off the far end, or are ourselves.
    ignored: HashSet<PeerId>,
    pace: Pace,
}

/// Asks ever closer servers for `target`, beginning with `start`, and returns those closest that answered.
///
/// `ask` gets a contact and gives what it answers, or nothing when it failed. Peers in `ours` are never asked.
///
/// # Cancel safety
/// Dropping the future ends the questions that are under way.
pub async fn lookup<F>(
    target: &KadId,
    start: Vec<Contact>,
    ours: &[PeerId],
    pace: Pace,
    ask: impl Fn(Contact) -> F,
) -> Found
where
    F: Future<Output = Option<Vec<Contact>>>,
{
    let mut search = Search { target, known: BTreeMap::new(), ignored: ours.iter().copied().collect(), pace };
    search.hear(start, 0, usize::MAX);
    let mut under_way = FuturesUnordered::new();
    let mut asked = 0;
    loop {
        while under_way.len() < pace.parallel_max && asked < pace.asked_max {
            let Some((distance, contact)) = search.next() else { break };
            asked += 1;
            let answer = ask(contact);
            under_way.push(async move { (distance, answer.await) });
        }
        let Some((distance, answer)) = under_way.next().await else { break };
        search.record(&distance, answer);
    }
    search.found()
}

impl Search<'_> {
    fn hear(&mut self, heard: Vec<Contact>, hops: u32, max: usize) {
        for contact in heard.into_iter().take(max) {
            if !self.ignored.contains(&contact.peer) && !contact.addresses.is_empty() {
                let distance = KadId::of_peer(&contact.peer).distance(self.target);
                match self.known.entry(distance) {
                    Entry::Occupied(mut known) => known.get_mut().heard_again(contact.addresses),
                    Entry::Vacant(place) => {
                        let (state, second) = (State::Heard, SecondWord::None);
                        place.insert(Known { contact, state, hops, second });
                    }
                }
            }
        }
        // Only a contact that is merely heard of may be forgotten: the far end holds no others for long.
        while self.known.len() > self.pace.asked_max + self.pace.heard_per_answer_max {
            match self.known.pop_last() {
                Some((distance, known)) if known.state != State::Heard => {
                    self.known.insert(distance, known);
                    break;
                }
                _ => {}
            }
        }
    }

    /// The next to ask: the closest not yet asked among the `wanted` closest that did not fail, unless the search
    /// has settled and it lies beyond.
    fn next(&mut self) -> Option<([u8; 32], Contact)> {
        let alive = self.known.iter_mut().filter(|(_, known)| known.state != State::Failed);
        let (distance, known) =
            alive.take(self.pace.wanted).find(|(_, known)| known.state == State::Heard)?;
        known.state = State::Asked;
        Some((*distance, known.contact.clone()))
    }

    fn record(&mut self, distance: &[u8; 32], answer: Option<Vec<Contact>>) {
        let mut hops = 0;
        if let Some(known) = self.known.get_mut(distance) {
            known.state = if answer.is_some() { State::Answered } else { State::Failed };
            hops = known.hops + 1;
            known.next_word();
        }
        // Once the closest have answered, what others say only leads away: ask the rest of the closest, no more.
        let settled = |known: &BTreeMap<_, Known>| {
            let mut alive = known.values().filter(|known| known.state != State::Failed);
            alive.by_ref().take(self.pace.settled_min).all(|known| known.state == State::Answered)
        };
        let mut alive = self.known.iter().filter(|(_, known)| known.state != State::Failed);
        let closest = alive.next().map(|(distance, _)| *distance);
        if let Some(mut heard) = answer {
            if settled(&self.known) && self.known.len() >= self.pace.wanted {
                heard.retain(|contact| Some(KadId::of_peer(&contact.peer).distance(self.target)) < closest);
            }
            self.hear(heard, hops, self.pace.heard_per_answer_max);
        }
    }

    fn found(self) -> Found {
        let mut answered = self.known.into_values().filter(|known| known.state == State::Answered).peekable();
        let hops = answered.peek().map_or(0, |closest| closest.hops);
        Found { closest: answered.map(|known| known.contact).take(self.pace.wanted).collect(), hops }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Peers with ids that are the same in every run.
    fn network(count: u32) -> Vec<Contact> {
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let contact = |seed: u32| {
            let digest =
                libp2p::multihash::Multihash::wrap(0x12, KadId::of_key(&seed.to_be_bytes()).as_bytes());
            let peer = PeerId::from_multihash(digest.unwrap()).unwrap();
            Contact { peer, addresses: vec![address.clone()] }
        };
        (0..count).map(contact).collect()
    }

    fn sorted(mut peers: Vec<Contact>, target: &KadId) -> Vec<Contact> {
        peers.sort_by_key(|contact| KadId::of_peer(&contact.peer).distance(target));
        peers
    }

    #[tokio::test]
    async fn t7_a_lookup_finds_the_twenty_closest_with_ten_questions_at_a_time() {
        let (peers, target) = (network(500), KadId::of_key(b"target"));
        let (under_way, most, asked) = (Cell::new(0), Cell::new(0), Cell::new(0));
        // A peer knows those near itself, and a few others.
        let ask = |contact: Contact| {
            let near = sorted(peers.clone(), &KadId::of_peer(&contact.peer));
            let (under_way, most, asked, peers) = (&under_way, &most, &asked, &peers);
            async move {
                under_way.set(under_way.get() + 1);
                most.set(most.get().max(under_way.get()));
                asked.set(asked.get() + 1);
                tokio::task::yield_now().await;
                under_way.set(under_way.get() - 1);
                let known = near[..60].iter().chain(peers.iter().step_by(7)).cloned().collect();
                let mut known = sorted(known, &target);
                // Some are both; a table holds nobody twice.
                known.dedup();
                Some(known[..20].to_vec())
            }
        };
        let found = lookup(&target, peers[..3].to_vec(), &[], Pace::AMINO, ask).await;
        assert_eq!(found.closest, sorted(peers.clone(), &target)[..20]);
        assert!((1..=5).contains(&found.hops), "{} hops", found.hops);
        assert_eq!(most.get(), 10);
        assert!(asked.get() < 60, "{} asked", asked.get());
    }

    #[tokio::test]
    async fn t7_forty_peers_are_taken_from_an_answer_and_two_hundred_asked_at_most() {
        let asked = Cell::new(0);
        let ask = |_| {
            asked.set(asked.get() + 1);
            async { Some(network(1_000)) }
        };
        let target = KadId::of_key(b"liar");
        let start = network(1);
        assert!(lookup(&target, start, &[], Pace::AMINO, ask).await.closest.len() <= 20);
        assert!(asked.get() <= 200, "{} asked", asked.get());
    }

    /// The first to answer sends the lookup elsewhere for all others that it is to find.
    #[tokio::test]
    async fn one_peer_that_lies_about_addresses_keeps_nobody_from_being_found() {
        let peers = network(30);
        let target = KadId::of_key(b"target");
        let near = sorted(peers.clone(), &target);
        let (liar, honest) = (near[28].peer, near[29].peer);
        let elsewhere = |contact: &Contact| Contact {
            peer: contact.peer,
            addresses: vec!["/ip4/10.0.0.1/tcp/1".parse().unwrap()],
        };
        let ask = |contact: Contact| {
            let (peers, near) = (peers.clone(), near.clone());
            async move {
                if contact.peer == liar {
                    return Some(near[..20].iter().map(elsewhere).collect());
                }
                // The honest one takes its time.
                for _ in 0..if contact.peer == honest { 100 } else { 0 } {
                    tokio::task::yield_now().await;
                }
                peers.contains(&contact).then(|| near[..20].to_vec())
            }
        };
        let found = lookup(&target, vec![near[28].clone(), near[29].clone()], &[], Pace::AMINO, ask).await;
        assert_eq!(found.closest, near[..20]);
    }

    #[tokio::test]
    async fn those_that_fail_are_not_found_and_ours_are_not_asked() {
        let peers = network(30);
        let target = KadId::of_key(b"target");
        let near = sorted(peers.clone(), &target);
        let (dead, ours) = (near[0].peer, near[1].peer);
        let ask = |contact: Contact| {
            assert_ne!(contact.peer, ours);
            let peers = peers.clone();
            async move { (contact.peer != dead).then_some(peers) }
        };
        let found = lookup(&target, vec![near[5].clone()], &[ours], Pace::AMINO, ask).await;
        assert_eq!(found.closest, near[2..22]);
        assert_eq!(found.hops, 1, "the one that was asked first knew it");
    }
}

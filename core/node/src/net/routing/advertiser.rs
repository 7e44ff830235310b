//! Heads make themselves known: others learn of a server when it connects to them.

use crate::net::heads::{Head, HeadList};
use crate::net::routing::kad_id::KadId;
use crate::net::routing::lookup::Contact;
use crate::net::routing::network::{Network, Pacer, Sender};
use crate::net::routing::rounds::{AllRounds, Outcome, Round};
use crate::net::routing::table::{Server, Table};
use crate::net::supervise::Phase;
use futures::stream::{self, StreamExt};
use hydra_kad::Mode;
use rand::seq::{IteratorRandom, SliceRandom};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The nearest servers, which are to know the head whatever happens.
const NEAREST: usize = 20;
/// Servers of each greater distance, and how many distances.
const PER_BUCKET: usize = 2;
const BUCKETS: u32 = 12;
/// Requests of all heads at a time.
const PARALLEL: usize = 256;
/// The pause before a round, in which a table that has just got its first servers gets more.
const PAUSE: Duration = Duration::from_secs(5);

/// The pause until those are tried again for which there was no room in a budget of dials.
const AGAIN: Duration = Duration::from_secs(5);

/// A head, and a server that is to know it.
type Pair = (Arc<Head>, Arc<Server>);

/// What the advertiser works with.
#[derive(Debug)]
pub(crate) struct Parts<N> {
    /// The heads of this node.
    pub(crate) heads: Arc<HeadList>,
    /// The servers that are to know them.
    pub(crate) table: Arc<Table>,
    /// By what they are asked.
    pub(crate) network: Arc<N>,
    /// How fast.
    pub(crate) pacer: Arc<Pacer>,
    /// The counts.
    pub(crate) rounds: Arc<AllRounds>,
    /// From one round to the next.
    pub(crate) interval: Duration,
    /// How far the node is.
    pub(crate) phase: watch::Receiver<Phase>,
}

/// Lets every head ask its neighbours for itself once per interval, from its own swarm, so that they see a server of
/// the network and keep it. The first round begins when there is somebody to ask.
pub(crate) async fn run<N: Network>(parts: Parts<N>) {
    let (mut phase, mut foreign_len) = (parts.phase.clone(), parts.table.watch_foreign_len());
    let work = async {
        loop {
            if foreign_len.wait_for(|len| *len > 0).await.is_err() {
                return;
            }
            tokio::time::sleep(PAUSE.min(parts.interval)).await;
            let (started, asked) = (Instant::now(), *foreign_len.borrow());
            let has_grown = |len: &usize| *len >= 2 * asked.max(1);
            let goes_on =
                || Instant::now() + AGAIN < started + parts.interval && !has_grown(&foreign_len.borrow());
            let (targets, reached) = parts.round(goes_on).await;
            parts.rounds.advertise.end(Round { took: started.elapsed(), targets, reached });
            let grown = foreign_len.wait_for(has_grown);
            // The next one comes sooner while the table still fills.
            drop(tokio::time::timeout_at(started + parts.interval, grown).await);
        }
    };
    tokio::select! {
        () = work => {}
        // A head that leaves does not make itself known any more.
        _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
    }
}

impl<N: Network> Parts<N> {
    /// The heads side by side, so that a server near to several of them is not asked by all at once. Tells how many were
    /// to be asked, and how many answered. Those that must not be dialed yet, as many heads have dialed them, wait as long as the
    /// round goes on: in the next one others may be in their place again.
    async fn round(&self, goes_on: impl Fn() -> bool) -> (usize, usize) {
        let heads = self.heads.now();
        let mut pairs: Vec<_> = heads
            .iter()
            .filter(|head| head.mode() == Mode::Server)
            .flat_map(|head| {
                neighbours(&self.table, head).into_iter().map(|server| (Arc::clone(head), server))
            })
            .collect();
        pairs.shuffle(&mut rand::rng());
        let (targets, mut reached) = (pairs.len(), 0);
        loop {
            let asked =
                stream::iter(pairs).map(|pair| self.ask(pair, heads.len())).buffer_unordered(PARALLEL);
            let (mut answered, mut unsent) = (0, Vec::new());
            let mut asked = pin!(asked);
            while let Some((pair, outcome)) = asked.next().await {
                match outcome {
                    Outcome::Answered => answered += 1,
                    Outcome::Unsent => unsent.push(pair),
                    _ => {}
                }
            }
            reached += answered;
            if unsent.is_empty() || !goes_on() {
                unsent.iter().for_each(|_| self.rounds.advertise.requests.count(Outcome::Unsent));
                return (targets, reached);
            }
            tokio::time::sleep(AGAIN).await;
            pairs = unsent;
        }
    }

    /// What comes of a request; one that is not sent may be sent later, and is not counted yet.
    async fn ask(&self, (head, server): Pair, heads: usize) -> (Pair, Outcome) {
        if !self.network.has_room(&server.peer, &server.addresses) {
            return ((head, server), Outcome::Unsent);
        }
        self.pacer.turn(heads).await;
        let contact = Contact { peer: server.peer, addresses: server.addresses.clone() };
        let answer = self.network.find_node(Sender::Head(&head), contact, head.peer.to_bytes()).await;
        let outcome = Outcome::of(&answer);
        if outcome != Outcome::Unsent {
            self.rounds.advertise.requests.count(outcome);
        }
        if answer.is_ok() {
            self.table.seen(&server.peer, Instant::now().into_std());
        }
        ((head, server), outcome)
    }
}

/// The nearest servers, and at random some of every bucket: each round makes the head known to others.
fn neighbours(table: &Table, head: &Head) -> Vec<Arc<Server>> {
    let (snapshot, id) = (table.snapshot(), KadId::of_peer(&head.peer));
    let mut chosen = snapshot.closest(&id, NEAREST, Server::is_own);
    for prefix in 0..BUCKETS {
        let bucket = snapshot.bucket(&id, prefix).filter(|server| !server.is_own());
        chosen.extend(bucket.sample(&mut rand::rng(), PER_BUCKET).into_iter().cloned());
    }
    chosen.sort_unstable_by_key(|server| server.id);
    chosen.dedup_by_key(|server| server.id);
    chosen
}

#[cfg(test)]
mod tests;

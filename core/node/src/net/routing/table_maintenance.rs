//! Keeping the peer table: who is met is probed before it enters, who is silent is probed again, and the scout looks
//! for those that nobody met.

mod queue;
mod reprobe;

pub(crate) use queue::Candidate;

use crate::net::address::{ip_of, is_relayed};
use crate::net::heads::HeadList;
use crate::net::routing::kad_id::KadId;
use crate::net::routing::lookup::{Contact, Pace, lookup};
use crate::net::routing::network::{Network, Pacer, Sender};
use crate::net::routing::rounds::{AllRounds, Outcome, Round};
use crate::net::routing::saved::{load, save};
use crate::net::routing::table::{Refusal, Server, Table};
use crate::net::supervise::Phase;
use futures::future;
use futures::stream::{self, FuturesUnordered, StreamExt};
use hydra_api::Causes;
use hydra_kad::AskError;
use libp2p::PeerId;
use queue::{Others, PROBES_MAX, Probe, Queue};
use rand::seq::SliceRandom;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Candidates of each kind that wait to be probed; further ones are forgotten, and met again.
pub(crate) const CANDIDATES_MAX: usize = 1024;
/// Peers are probed again when they were silent for this part of the time between two refreshes: 5 of 10 minutes
/// (requirement T4).
const SILENT_PART: u32 = 2;
/// Lookups under way at a time.
const LOOKUPS_MAX: usize = 2;
/// A refresh with many heads has one more lookup under way for so many heads, and one more probe for so many.
const HEADS_PER_LOOKUP: usize = 32;
const HEADS_PER_PROBE: usize = 4;
/// Buckets that are filled by lookups of their own, from the farthest.
const BUCKETS: u32 = 8;
/// Such lookups per refresh.
const BUCKET_LOOKUPS_MAX: usize = 16;
/// With fewer servers than this a bucket is looked up.
const BUCKET_LEN_MIN: usize = 10;
/// With fewer foreign servers than this the bootstrap peers are asked again: each refresh asks all of them, and those that are not
/// in the table are asked in between.
const FOREIGN_LEN_MIN: usize = 4;
/// The pause until what could not be asked is asked, and until the bootstrap peers of an empty table are asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// The pause between the first servers of an empty table and the lookups that they make possible.
const FIRST_REFRESH: Duration = Duration::from_secs(2);

/// What table maintenance works on.
#[derive(Debug)]
pub(crate) struct Parts<N> {
    /// The table.
    pub(crate) table: Arc<Table>,
    /// By what servers are asked.
    pub(crate) network: Arc<N>,
    /// How fast a refresh asks them.
    pub(crate) pacer: Arc<Pacer>,
    /// The counts.
    pub(crate) rounds: Arc<AllRounds>,
    /// The heads of this node.
    pub(crate) heads: Arc<HeadList>,
    /// Who is asked first.
    pub(crate) bootstrap: Vec<Contact>,
    /// How often the table is refreshed.
    pub(crate) interval: Duration,
    /// How lookups go about it.
    pub(crate) pace: Pace,
    /// Where the table is kept over restarts.
    pub(crate) saved: PathBuf,
    /// How far the node is.
    pub(crate) phase: watch::Receiver<Phase>,
}

/// Keeps the table until the node drains, and saves it then. Servers that the heads met come in by `candidates`.
pub(crate) async fn run<N: Network>(parts: &Parts<N>, mut candidates: mpsc::Receiver<Candidate>) {
    parts.tell_what_is_not_dialed();
    let mut queue = Queue::new(load(&parts.saved, parts.table.len_max()).await);
    queue.join(parts.bootstrap());
    let mut phase = parts.phase.clone();
    let mut probes = FuturesUnordered::new();
    let mut refreshing = None;
    let mut joined = false;
    let mut silence = Silence::default();
    let refresh_at = tokio::time::sleep(parts.interval);
    tokio::pin!(refresh_at);
    let mut again = tokio::time::interval(AGAIN);
    loop {
        while let Some(probe) = queue.next(parts) {
            probes.push(parts.probe(probe));
        }
        tokio::select! {
            Some(candidate) = candidates.recv() => queue.meet(candidate),
            Some((probe, answer)) = probes.next(), if !probes.is_empty() => {
                if parts.bootstrap().any(|bootstrap| bootstrap.peer == probe.contact.peer) {
                    silence.record(&probe.contact, &answer);
                }
                queue.probed(probe, &answer);
                let heard = answer.unwrap_or_default().into_iter();
                queue.hear(heard.filter(|contact| parts.is_wanted(contact)));
                let empty = parts.table.snapshot().foreign_len() == 0;
                if !joined && !empty {
                    let due = refresh_at.deadline().min(Instant::now() + FIRST_REFRESH);
                    refresh_at.as_mut().reset(due);
                    queue.joined();
                    silence.end();
                }
                joined = !empty;
            }
            _ = again.tick() => {
                queue.retry();
                let foreign_len = parts.table.snapshot().foreign_len();
                let is_joining = parts.bootstrap().any(|bootstrap| queue.is_asking(&bootstrap.peer));
                if !is_joining && foreign_len < FOREIGN_LEN_MIN {
                    if foreign_len == 0 {
                        silence.tell();
                    }
                    queue.join_again(parts.missing(), if foreign_len == 0 { Others::Again } else { Others::AsBefore });
                }
            }
            () = &mut refresh_at, if refreshing.is_none() => {
                refresh_at.as_mut().reset(Instant::now() + parts.interval);
                if parts.table.snapshot().foreign_len() < FOREIGN_LEN_MIN {
                    queue.start_again(parts.bootstrap());
                }
                refreshing = Some(Box::pin(parts.refresh()));
            }
            () = async { if let Some(refresh) = refreshing.as_mut() { refresh.await } }, if refreshing.is_some() => {
                refreshing = None;
            }
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => break,
        }
    }
    // Who was not probed yet is not forgotten: a node that is stopped early still knows its peers at the next start.
    save(&parts.saved, &parts.table, queue.unproven()).await;
}

/// The silence of the bootstrap peers, which the log tells once.
#[derive(Debug, Default)]
struct Silence {
    /// Which of them did not answer last, and why.
    last: Option<(PeerId, AskError)>,
    is_told: bool,
}

impl Silence {
    fn record<T>(&mut self, contact: &Contact, answer: &Result<T, AskError>) {
        if let Err(error) = answer {
            self.last = Some((contact.peer, error.clone()));
        }
    }

    /// To be called while the table is empty and nobody is being asked.
    fn tell(&mut self) {
        let Some((peer, error)) = self.last.as_ref().filter(|_| !self.is_told) else { return };
        self.is_told = true;
        tracing::warn!(
            %peer, error = %Causes(error),
            "no bootstrap peer answers: the peer table is empty; retrying"
        );
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.is_told) {
            tracing::info!("a server has answered: the peer table is no longer empty");
        }
    }
}

impl<N: Network> Parts<N> {
    /// Who is asked first; a node that is its own bootstrap peer does not ask itself.
    fn bootstrap(&self) -> impl Iterator<Item = &Contact> {
        let is_own = |contact: &&Contact| self.considered(contact) == Err(Refusal::Own);
        self.bootstrap.iter().filter(move |contact| !is_own(contact))
    }

    /// Bootstrap peers that are not in the table.
    fn missing(&self) -> impl Iterator<Item = &Contact> {
        let snapshot = Arc::clone(&self.table.snapshot());
        self.bootstrap().filter(move |contact| snapshot.find(&KadId::of_peer(&contact.peer)).is_none())
    }

    fn considered(&self, contact: &Contact) -> Result<(), Refusal> {
        self.table.consider(&contact.peer, &contact.addresses)
    }

    fn tell_what_is_not_dialed(&self) {
        let refused = |contact: &&Contact| self.considered(contact) == Err(Refusal::NoAddress);
        for contact in self.bootstrap.iter().filter(refused) {
            tracing::warn!(
                peer = %contact.peer,
                "network.addresses permits no address of this bootstrap peer, so it is not dialed"
            );
        }
    }

    /// Whether it would enter the table, or is in it with other addresses.
    fn is_wanted(&self, contact: &Contact) -> bool {
        self.table.wants(&contact.peer, &contact.addresses)
    }

    pub(super) fn is_worth_a_probe(&self, contact: &Contact) -> bool {
        self.is_wanted(contact) || self.bootstrap().any(|bootstrap| bootstrap.peer == contact.peer)
    }

    /// Asks a candidate for the peers near one of our heads; it enters the table when it answers (requirement T2).
    async fn probe(&self, probe: Probe) -> (Probe, Result<Vec<Contact>, AskError>) {
        let target = self.heads.now().first().map_or_else(Vec::new, |head| head.peer.to_bytes());
        let answer = self.ask(&probe.contact, target).await;
        self.rounds.probe.count(Outcome::of(&answer));
        (probe, answer)
    }

    /// One question to one server: who answers enters the table, as far as there is room for it.
    async fn ask(&self, contact: &Contact, target: Vec<u8>) -> Result<Vec<Contact>, AskError> {
        let heard = self.network.find_node(Sender::Scout, contact.clone(), target).await?;
        let (reached, told) = self.network.whereabouts(contact);
        let direct: Vec<_> = told.into_iter().filter(|address| !is_relayed(address)).collect();
        let reached = reached.or_else(|| direct.iter().find_map(ip_of));
        // A refusal is no fault of the one who answered.
        let _refused = self.table.insert(contact.peer, &direct, reached, Instant::now().into_std()).is_err();
        Ok(heard)
    }

    /// One question of a refresh, in its turn.
    async fn ask_in_turn(&self, contact: &Contact, target: Vec<u8>) -> Result<Vec<Contact>, AskError> {
        self.pacer.turn(self.heads.now().len()).await;
        let answer = self.ask(contact, target).await;
        self.rounds.refresh.requests.count(Outcome::of(&answer));
        answer
    }

    /// Drops the dead, then looks for new ones near every head and in thin buckets, and saves the table.
    async fn refresh(&self) {
        let started = Instant::now();
        let mut heads = self.heads.peers();
        heads.shuffle(&mut rand::rng());
        let silent = self.table.silent_for(self.interval / SILENT_PART, started.into_std());
        let probes_max = PROBES_MAX.max(heads.len() / HEADS_PER_PROBE);
        self.drop_dead(silent, probes_max).await;
        let targets: Vec<_> =
            heads.iter().map(|head| head.to_bytes()).chain(self.thin_buckets(&heads)).collect();
        let lookups_max = LOOKUPS_MAX.max(heads.len() / HEADS_PER_LOOKUP);
        let (targets_len, lookups) = (targets.len(), stream::iter(targets));
        let lookups = lookups.map(|target| self.look_up(target, &heads)).buffer_unordered(lookups_max);
        let reached = lookups.filter(|is_answered| future::ready(*is_answered)).count().await;
        self.rounds.refresh.end(Round { took: started.elapsed(), targets: targets_len, reached });
        save(&self.saved, &self.table, []).await;
    }

    /// Whether anybody answered.
    async fn look_up(&self, target: Vec<u8>, heads: &[PeerId]) -> bool {
        let started = Instant::now();
        let id = KadId::of_key(&target);
        let start = self.table.snapshot().closest(&id, self.pace.wanted, Server::is_own);
        let start = start
            .into_iter()
            .map(|server| Contact { peer: server.peer, addresses: server.addresses.clone() })
            .collect();
        let ask = |contact: Contact| {
            let target = target.clone();
            async move { self.ask_in_turn(&contact, target).await.ok() }
        };
        let found = lookup(&id, start, heads, self.pace, ask).await;
        self.rounds.lookups.end(started.elapsed(), found.hops);
        !found.closest.is_empty()
    }

    /// Keys that fall into buckets which hold few servers. The network has no peer of a chosen id, so keys are tried.
    fn thin_buckets(&self, heads: &[PeerId]) -> Vec<Vec<u8>> {
        let snapshot = self.table.snapshot();
        let mut keys = Vec::new();
        for head in heads.iter().take(BUCKET_LOOKUPS_MAX) {
            let head = KadId::of_peer(head);
            for prefix in 0..BUCKETS {
                let held = snapshot.bucket(&head, prefix).filter(|server| !server.is_own()).count();
                if held < BUCKET_LEN_MIN && keys.len() < BUCKET_LOOKUPS_MAX {
                    keys.extend(key_in_bucket(&head, prefix));
                }
            }
        }
        keys
    }
}

/// A random key whose id shares exactly `prefix` leading bits with `head`; none when luck fails.
fn key_in_bucket(head: &KadId, prefix: u32) -> Option<Vec<u8>> {
    (0..16u32 << prefix)
        .map(|_| rand::random::<[u8; 32]>())
        .find(|key| head.common_prefix(&KadId::of_key(key)) == prefix)
        .map(|key| key.to_vec())
}

#[cfg(test)]
mod tests;

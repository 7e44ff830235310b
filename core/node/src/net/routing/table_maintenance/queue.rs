//! The candidates that wait to be probed.

use super::{AGAIN, CANDIDATES_MAX, Parts};
use crate::net::routing::lookup::Contact;
use crate::net::routing::network::Network;
use hydra_kad::AskError;
use libp2p::PeerId;
use quick_cache::unsync::Cache;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// A peer is probed as a candidate once in so long.
const PROBED_AGAIN: Duration = Duration::from_secs(600);
const PROBED_MAX: usize = 16_384;
/// The longest pause until bootstrap peers are probed again while the table has too few servers.
const BOOTSTRAP_AGAIN_MAX: Duration = Duration::from_secs(300);

/// Who waits to be probed, who is being probed, and who was lately.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: VecDeque<Contact>,
    under_way: HashMap<PeerId, Contact>,
    /// Those that the node could not ask: a budget was used up, or the scout was down.
    unsent: Vec<Contact>,
    probed: Cache<PeerId, Instant>,
    /// When the bootstrap peers are asked again, and the pause after that.
    bootstrap_at: Instant,
    bootstrap_pause: Duration,
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
        Self {
            waiting: saved.into(),
            under_way: HashMap::new(),
            unsent: Vec::new(),
            probed: Cache::new(PROBED_MAX),
            bootstrap_at: Instant::now() + AGAIN,
            bootstrap_pause: AGAIN,
        }
    }

    /// Whether one more candidate may wait.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < CANDIDATES_MAX
    }

    /// Adds candidates while fewer than `max` wait.
    pub(super) fn add_all(&mut self, contacts: impl IntoIterator<Item = Contact>, max: usize) {
        let room = max.saturating_sub(self.waiting.len());
        self.waiting.extend(contacts.into_iter().take(room));
    }

    /// The next one that is worth a probe, which is under way from now on.
    pub(super) fn next<N: Network>(&mut self, parts: &Parts<N>) -> Option<Contact> {
        let now = Instant::now();
        while let Some(contact) = self.waiting.pop_front() {
            let lately = |at: &Instant| now.duration_since(*at) < PROBED_AGAIN;
            if !self.probed.get(&contact.peer).is_some_and(lately) && parts.is_worth_a_probe(&contact) {
                self.probed.insert(contact.peer, now);
                self.under_way.insert(contact.peer, contact.clone());
                return Some(contact);
            }
        }
        None
    }

    /// A probe has ended. One that was not sent does not count, and is tried again.
    pub(super) fn probed<T>(&mut self, contact: Contact, answer: &Result<T, AskError>) {
        self.under_way.remove(&contact.peer);
        if answer.as_ref().is_err_and(AskError::is_local) {
            self.probed.remove(&contact.peer);
            if self.unsent.len() < CANDIDATES_MAX {
                self.unsent.push(contact);
            }
        }
    }

    /// Lets those wait again that could not be asked.
    pub(super) fn retry(&mut self) {
        self.waiting.extend(self.unsent.drain(..));
    }

    /// Whether nobody waits.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
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
            Others::AsBefore => {
                for contact in bootstrap {
                    self.probed.remove(&contact.peer);
                    self.waiting.push_back(contact.clone());
                }
            }
        }
    }

    /// Asks the bootstrap peers again, and everybody else who comes along.
    pub(super) fn start_again<'a>(&mut self, bootstrap: impl Iterator<Item = &'a Contact>) {
        self.probed.clear();
        self.waiting.extend(bootstrap.cloned());
    }

    /// The server has joined the network.
    pub(super) fn joined(&mut self) {
        self.bootstrap_pause = AGAIN;
    }

    /// Those that were not probed yet.
    pub(super) fn unproven(self) -> impl Iterator<Item = Contact> {
        self.under_way.into_values().chain(self.waiting).chain(self.unsent)
    }
}

//! Which of the silent servers are dead.

use super::{AGAIN, Parts};
use crate::net::routing::lookup::Contact;
use crate::net::routing::network::Network;
use crate::net::routing::table::Server;
use futures::stream::{self, StreamExt};
use std::future;
use std::sync::Arc;
use tokio::time::Instant;

/// Servers of the table that are asked whether this node reaches anybody.
const WITNESSES_MAX: usize = 8;

/// What came of one try of several servers; those that were not asked are in neither list.
#[derive(Debug, Default)]
struct Tried {
    answered: Vec<Arc<Server>>,
    failed: Vec<Arc<Server>>,
}

impl<N: Network> Parts<N> {
    /// Takes those out of the table that fail two tries. After each of the two somebody must answer: while the node itself
    /// reaches nobody, nothing is known of anybody.
    pub(super) async fn drop_dead(&self, silent: Vec<Arc<Server>>, parallel: usize) {
        let first = self.try_all(silent, parallel).await;
        if first.failed.is_empty() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
        if !self.reaches_anybody(&first).await {
            return keeps_all(first.failed.len());
        }
        let second = self.try_all(first.failed, parallel).await;
        // The line may have been cut meanwhile.
        if second.answered.is_empty() && !second.failed.is_empty() && !self.reaches_anybody(&second).await {
            return keeps_all(second.failed.len());
        }
        second.failed.iter().for_each(|server| self.table.remove(&server.peer));
    }

    async fn try_all(&self, servers: Vec<Arc<Server>>, parallel: usize) -> Tried {
        let ask = |server: Arc<Server>| async move {
            let answer = self.ask_in_turn(&contact(&server), server.peer.to_bytes()).await;
            (server, answer)
        };
        let mut tried = Tried::default();
        let mut asked = std::pin::pin!(stream::iter(servers).map(ask).buffer_unordered(parallel));
        while let Some((server, answer)) = asked.next().await {
            match answer {
                Ok(_) => {
                    self.table.seen(&server.peer, Instant::now().into_std());
                    tried.answered.push(server);
                }
                // Nothing is known of a server that was not asked.
                Err(error) if error.is_local() => {}
                Err(_) => tried.failed.push(server),
            }
        }
        tried
    }

    /// Whether one of those answers that did a moment ago, or another server, or a bootstrap peer.
    async fn reaches_anybody(&self, first: &Tried) -> bool {
        let snapshot = Arc::clone(&self.table.snapshot());
        let has_failed = |server: &&Arc<Server>| first.failed.iter().any(|one| one.peer == server.peer);
        let others =
            snapshot.servers().filter(|server| !server.is_own()).filter(|server| !has_failed(server));
        let witnesses = first.answered.iter().rev().chain(others).take(WITNESSES_MAX).map(contact);
        let witnesses: Vec<_> = witnesses.chain(self.bootstrap().cloned()).collect();
        let ask = |witness: Contact| async move {
            let answer = self.ask_in_turn(&witness, witness.peer.to_bytes()).await;
            answer.is_ok()
        };
        let asked = stream::iter(witnesses).map(ask).buffer_unordered(WITNESSES_MAX);
        std::pin::pin!(asked.filter(|has_answered| future::ready(*has_answered))).next().await.is_some()
    }
}

fn keeps_all(silent: usize) {
    tracing::warn!(silent, "no server answers: the peer table is kept as it is until one does");
}

fn contact(server: &Arc<Server>) -> Contact {
    Contact { peer: server.peer, addresses: server.addresses.clone() }
}

//! Heads make themselves known: others learn of a server when it connects to them.

use crate::net::address::ip_of;
use crate::net::dial_budget::DialBudget;
use crate::net::heads::{Head, HeadList};
use crate::net::routing::kad_id::KadId;
use crate::net::routing::table::{Server, Table};
use crate::net::supervise::Phase;
use futures::stream::{self, StreamExt};
use hydra_kad::Request;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The nearest servers, which are to know the head whatever happens.
const NEAREST: usize = 20;
/// Servers of each greater distance, and how many distances.
const PER_BUCKET: usize = 2;
const BUCKETS: u32 = 12;
/// Dials of one head at a time.
const PARALLEL: usize = 4;

/// Lets every head ask its neighbours for itself once per interval, from its own swarm, so that they see a server of
/// the network and keep it. The heads take turns, spread evenly over the interval.
pub(crate) async fn run(
    heads: Arc<HeadList>,
    table: Arc<Table>,
    interval: Duration,
    timeout: Duration,
    mut phase: watch::Receiver<Phase>,
) {
    let mut budget = DialBudget::default();
    let mut last = None;
    let mut turn = tokio::time::Instant::now();
    loop {
        let now = heads.now();
        // In the order of slots, whatever heads came and went since.
        let head = now.iter().find(|head| last.is_none_or(|last| head.slot > last)).or(now.first());
        last = head.map(|head| head.slot);
        let work = async {
            if let Some(head) = head {
                announce(&table, head, neighbours(&table, head, &mut budget), timeout).await;
            }
            turn = tokio::time::Instant::now()
                .max(turn + interval / u32::try_from(now.len()).unwrap_or(1).max(1));
            tokio::time::sleep_until(turn).await;
        };
        tokio::select! {
            () = work => {}
            // A head that leaves does not make itself known any more.
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => return,
        }
    }
}

fn neighbours(table: &Table, head: &Head, budget: &mut DialBudget) -> Vec<Arc<Server>> {
    let (snapshot, id, now) = (table.snapshot(), KadId::of_peer(&head.peer), Instant::now());
    let mut chosen = snapshot.closest(&id, NEAREST, Server::is_own);
    for prefix in 0..BUCKETS {
        let bucket = snapshot.bucket(&id, prefix).filter(|server| !server.is_own());
        chosen.extend(bucket.take(PER_BUCKET).cloned());
    }
    chosen.sort_unstable_by_key(|server| server.id);
    chosen.dedup_by_key(|server| server.id);
    chosen.retain(|server| server.addresses.first().and_then(ip_of).is_none_or(|ip| budget.take(ip, now)));
    chosen
}

async fn announce(table: &Table, head: &Head, neighbours: Vec<Arc<Server>>, timeout: Duration) {
    let Some(client) = head.client.load_full() else { return };
    let ask = |server: Arc<Server>| {
        let client = Arc::clone(&client);
        async move {
            let request = Request::FindNode { key: head.peer.to_bytes().into() };
            if client.ask(server.peer, server.addresses.clone(), request, timeout).await.is_ok() {
                table.seen(&server.peer, Instant::now());
            }
        }
    };
    stream::iter(neighbours).for_each_concurrent(PARALLEL, ask).await;
}

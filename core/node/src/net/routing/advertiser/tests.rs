//! A thousand heads in a simulated network, on a paused clock.

use super::*;
use crate::net::address::AddressPolicy;
use crate::net::routing::simulated::{ROOMY, Simulated, heads};
use libp2p::PeerId;
use std::collections::{HashMap, HashSet};

const INTERVAL: Duration = Duration::from_secs(300);

#[tokio::test(start_paused = true)]
async fn a_thousand_heads_are_known_within_an_interval_and_to_others_with_each_round() {
    let network = Simulated::new(10_000, 20);
    let table = Arc::new(Table::new(AddressPolicy::Any, ROOMY));
    let (_phase, phase) = watch::channel(Phase::Serving);
    let rounds = Arc::<AllRounds>::default();
    let list = heads(1_000, &table);
    let parts = Parts {
        heads: Arc::clone(&list),
        table: Arc::clone(&table),
        network: Arc::clone(&network),
        pacer: Arc::default(),
        rounds: Arc::clone(&rounds),
        interval: INTERVAL,
        phase,
    };
    let task = tokio::spawn(run(parts));
    tokio::time::sleep(INTERVAL).await;
    assert_eq!(rounds.advertise.ended(), 0, "there is nobody to ask");

    for contact in network.contacts() {
        let _no_room =
            table.insert(contact.peer, &contact.addresses, None, Instant::now().into_std()).is_err();
    }
    let known = |asked: &[(Option<PeerId>, PeerId, Instant)]| {
        let mut known = HashMap::<PeerId, HashSet<PeerId>>::new();
        for (head, server, _) in asked {
            known.entry(head.unwrap()).or_default().insert(*server);
        }
        known
    };
    tokio::time::sleep(INTERVAL).await;
    assert_eq!(rounds.advertise.ended(), 1);
    assert!(rounds.advertise.last() < INTERVAL, "{:?}", rounds.advertise.last());
    let first = known(&network.asked.lock().unwrap());
    let snapshot = table.snapshot().clone();
    for head in list.peers() {
        let nearest = snapshot.closest(&KadId::of_peer(&head), 20, Server::is_own);
        assert!(nearest.iter().all(|server| first[&head].contains(&server.peer)));
    }
    tokio::time::sleep(INTERVAL).await;
    assert_eq!(rounds.advertise.ended(), 2);
    let both = known(&network.asked.lock().unwrap());
    let more = list.peers().iter().filter(|head| both[head].len() > first[head].len() + 5).count();
    assert!(more > 900, "of a thousand heads {more} became known to others");
    task.abort();
}

/// Each server has its own budget of dials, and there are more heads than it holds.
#[tokio::test(start_paused = true)]
async fn many_heads_become_known_to_few_servers_as_fast_as_these_may_be_dialed() {
    let (network, heads_len) = (Simulated::to_be_dialed(3, usize::MAX), 40);
    let table = Arc::new(Table::new(AddressPolicy::Any, ROOMY));
    let list = heads(heads_len, &table);
    for contact in network.contacts() {
        table.insert(contact.peer, &contact.addresses, None, Instant::now().into_std()).unwrap();
    }
    let (_phase, phase) = watch::channel(Phase::Serving);
    let rounds = Arc::<AllRounds>::default();
    let parts = Parts {
        heads: list,
        table,
        network: Arc::clone(&network),
        pacer: Arc::default(),
        rounds: Arc::clone(&rounds),
        interval: INTERVAL,
        phase,
    };
    let task = tokio::spawn(run(parts));
    // Six connections at a time for heads, each open for two minutes: 18 heads in each round and not 6.
    tokio::time::sleep(4 * INTERVAL).await;
    let asked = network.asked.lock().unwrap();
    let pairs: HashSet<_> = asked.iter().map(|(head, server, _)| (*head, *server)).collect();
    let all = 3 * heads_len as usize;
    assert!(pairs.len() > all * 2 / 3, "{} of {all} by {} requests", pairs.len(), asked.len());
    task.abort();
}

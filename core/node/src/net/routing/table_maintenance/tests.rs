//! The table in a simulated network, on a paused clock.

use super::*;
use crate::net::address::AddressPolicy;
use crate::net::routing::simulated::{ROOMY, Simulated, heads};
use libp2p::Multiaddr;
use std::sync::atomic::Ordering;
use tempfile::TempDir;
use tokio::task::JoinHandle;

const INTERVAL: Duration = Duration::from_secs(600);

/// So many of the nearest are always in the table; of those beyond some find their bucket full.
const NEAREST: usize = 8;

struct Fixture {
    parts: Arc<Parts<Simulated>>,
    network: Arc<Simulated>,
    phase: watch::Sender<Phase>,
    _dir: TempDir,
}

fn fixture(network: &Arc<Simulated>, heads_len: u32, bootstrap: Vec<Contact>) -> Fixture {
    let (phase_told, phase) = watch::channel(Phase::Serving);
    let table = Arc::new(Table::new(AddressPolicy::Any, ROOMY));
    let dir = tempfile::tempdir().unwrap();
    let parts = Arc::new(Parts {
        heads: heads(heads_len, &table),
        table,
        network: Arc::clone(network),
        pacer: Arc::default(),
        rounds: Arc::default(),
        bootstrap,
        interval: INTERVAL,
        pace: Pace::AMINO,
        saved: dir.path().join("peers.json"),
        phase,
    });
    Fixture { parts, network: Arc::clone(network), phase: phase_told, _dir: dir }
}

impl Fixture {
    /// Runs table maintenance, to which the heads report nobody.
    fn run(&self) -> JoinHandle<()> {
        let (candidates, task) = self.run_with_heads();
        std::mem::forget(candidates);
        task
    }

    /// Runs table maintenance, and gives that by which heads report whom they met.
    fn run_with_heads(&self) -> (mpsc::Sender<Candidate>, JoinHandle<()>) {
        let (parts, (candidates, met)) = (Arc::clone(&self.parts), mpsc::channel(CANDIDATES_MAX));
        (candidates, tokio::spawn(async move { run(&parts, met).await }))
    }

    fn foreign_len(&self) -> usize {
        self.parts.table.snapshot().foreign_len()
    }

    fn asked(&self) -> usize {
        self.network.asked.lock().unwrap().len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_of_few_servers_is_refreshed_once_at_first_and_then_at_its_interval() {
    for servers in 1..=3 {
        let network = Simulated::new(servers, usize::MAX);
        let fixture = fixture(&network, 3, network.contacts()[..1].to_vec());
        let task = fixture.run();
        tokio::time::sleep(INTERVAL * 6 - Duration::from_secs(10)).await;
        assert_eq!(fixture.parts.table.snapshot().foreign_len(), servers as usize);
        assert_eq!(fixture.parts.rounds.refresh.ended(), 6, "{servers} servers");
        task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_node_itself_is_held_against_nobody() {
    let network = Simulated::new(50, usize::MAX);
    let fixture = fixture(&network, 1, network.contacts()[..1].to_vec());
    fixture.network.cut_off.store(true, Ordering::Relaxed);
    let task = fixture.run();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(fixture.parts.table.snapshot().foreign_len(), 0);
    fixture.network.cut_off.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let joined = fixture.parts.table.snapshot().foreign_len();
    assert!(joined > 20, "it is asked as soon as that is possible: {joined}");

    fixture.network.cut_off.store(true, Ordering::Relaxed);
    tokio::time::sleep(INTERVAL * 4).await;
    assert_eq!(fixture.parts.table.snapshot().foreign_len(), joined, "nobody was asked, so nobody is dead");
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn the_bootstrap_peers_of_an_empty_table_are_asked_again_within_seconds() {
    // All are dead.
    let network = Simulated::new(1, 1);
    let bootstrap = network.contacts();
    let fixture = fixture(&network, 1, bootstrap);
    let task = fixture.run();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!((2..=5).contains(&fixture.asked()), "{} in the first minute", fixture.asked());
    tokio::time::sleep(INTERVAL * 6).await;
    assert!((10..=40).contains(&fixture.asked()), "{} in an hour", fixture.asked());
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_its_own_bootstrap_peer_does_not_ask_itself() {
    let network = Simulated::new(1, usize::MAX);
    let mut fixture = fixture(&network, 2, Vec::new());
    let own = fixture.parts.heads.peers();
    let address = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
    let parts = Arc::get_mut(&mut fixture.parts).unwrap();
    parts.bootstrap =
        own.into_iter().map(|peer| Contact { peer, addresses: vec![Multiaddr::clone(&address)] }).collect();
    let task = fixture.run();
    tokio::time::sleep(INTERVAL * 3).await;
    assert_eq!(fixture.asked(), 0);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_refresh_with_a_thousand_heads_and_ten_thousand_servers_ends_within_its_interval() {
    let network = Simulated::new(10_000, 20);
    let fixture = fixture(&network, 1_000, Vec::new());
    let parts = &fixture.parts;
    for contact in network.contacts() {
        let _no_room =
            parts.table.insert(contact.peer, &contact.addresses, None, Instant::now().into_std()).is_err();
    }
    tokio::time::advance(INTERVAL).await;
    parts.refresh().await;
    let refresh = &parts.rounds.refresh;
    assert_eq!((refresh.ended(), refresh.reached()), (1, refresh.targets()));
    assert!(refresh.targets() >= 1_000 && parts.rounds.lookups.ended() == refresh.targets());
    assert!(refresh.last() > Duration::ZERO && refresh.last() < INTERVAL, "{:?}", refresh.last());
    assert!(refresh.requests.of(Outcome::Answered) > 20_000 && refresh.requests.of(Outcome::Timeout) > 0);

    let asked = network.asked.lock().unwrap();
    let mut busiest = 0;
    let mut first = 0;
    for (last, (_, _, at)) in asked.iter().enumerate() {
        while *at - asked[first].2 > Duration::from_secs(1) {
            first += 1;
        }
        busiest = busiest.max(last - first);
    }
    assert!(busiest <= 600, "{busiest} requests in one second");
    let snapshot = parts.table.snapshot();
    // A lookup may end one short: the next refresh finds that one.
    let finds_all = |head: &PeerId| {
        let id = KadId::of_peer(head);
        let found = snapshot.closest(&id, NEAREST, Server::is_own);
        let found: Vec<_> = found.iter().map(|server| server.peer).collect();
        found == network.closest_alive(&id, NEAREST)
    };
    let heads = parts.heads.peers();
    assert!(heads.iter().filter(|head| finds_all(head)).count() >= heads.len() * 99 / 100);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_uplink_takes_nobody_out_of_the_table() {
    let network = Simulated::new(50, usize::MAX);
    let fixture = fixture(&network, 1, network.contacts()[..1].to_vec());
    let task = fixture.run();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let joined = fixture.foreign_len();
    assert!(joined > 20, "{joined}");
    network.unplugged.store(true, Ordering::Relaxed);
    tokio::time::sleep(INTERVAL * 4).await;
    assert_eq!(fixture.foreign_len(), joined);
    assert_eq!(load(&fixture.parts.saved, usize::MAX).await.len(), joined);
    // Short ones, one after the other.
    for _ in 0..100 {
        network.unplugged.store(false, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(53)).await;
        network.unplugged.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(7)).await;
    }
    assert!(fixture.foreign_len() >= joined, "{} of {joined}", fixture.foreign_len());
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_saved_table_is_not_replaced_by_an_empty_one() {
    let network = Simulated::new(20, usize::MAX);
    let fixture = fixture(&network, 1, Vec::new());
    for contact in network.contacts() {
        fixture
            .parts
            .table
            .insert(contact.peer, &contact.addresses, None, Instant::now().into_std())
            .unwrap();
    }
    save(&fixture.parts.saved, &fixture.parts.table, []).await;
    for contact in network.contacts() {
        fixture.parts.table.remove(&contact.peer);
    }
    network.unplugged.store(true, Ordering::Relaxed);
    let task = fixture.run();
    tokio::time::sleep(INTERVAL * 2).await;
    fixture.phase.send_replace(Phase::Draining);
    task.await.unwrap();
    assert_eq!(load(&fixture.parts.saved, usize::MAX).await.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn saved_servers_that_are_gone_delay_neither_the_bootstrap_peers_nor_those_who_connect() {
    let network = Simulated::new(4_000, 2);
    let (gone, alive): (Vec<_>, Vec<_>) =
        network.contacts().into_iter().partition(|contact| network.is_dead(&contact.peer));
    assert!(gone.len() >= 1_999, "{} gone", gone.len());
    for bootstrap in [alive[..1].to_vec(), Vec::new()] {
        let fixture = fixture(&network, 1, bootstrap.clone());
        for contact in &gone {
            let (table, now) = (&fixture.parts.table, Instant::now().into_std());
            let _no_room = table.insert(contact.peer, &contact.addresses, None, now).is_err();
        }
        save(&fixture.parts.saved, &fixture.parts.table, []).await;
        gone.iter().for_each(|contact| fixture.parts.table.remove(&contact.peer));
        let (candidates, task) = fixture.run_with_heads();
        tokio::time::sleep(Duration::from_secs(1)).await;
        if bootstrap.is_empty() {
            assert_eq!(fixture.foreign_len(), 0);
            candidates.send(Candidate { contact: alive[1].clone(), host: None }).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(fixture.foreign_len() > 0, "{} bootstrap peers", bootstrap.len());
        task.abort();
    }
}

fn at(contact: &Contact, address: &str) -> Contact {
    Contact { peer: contact.peer, addresses: vec![address.parse().unwrap()] }
}

#[tokio::test(start_paused = true)]
async fn what_others_say_of_a_peer_is_not_held_against_its_own_word() {
    let network = Simulated::new(2, usize::MAX);
    let fixture = fixture(&network, 1, Vec::new());
    let parts = &fixture.parts;
    let real = network.contacts().remove(0);
    let lie = at(&real, "/ip4/10.9.9.9/tcp/1");
    let mut queue = Queue::new(Vec::new());
    queue.hear([lie.clone()]);
    let in_vain = queue.next(parts).unwrap();
    queue.meet(Candidate { contact: real.clone(), host: None });
    assert_eq!(queue.next(parts).map(|probe| probe.contact), Some(real.clone()), "before the lie has failed");
    queue.probed(in_vain, &Err::<(), _>(AskError::Deadline));

    let mut queue = Queue::new(Vec::new());
    queue.hear([lie.clone()]);
    let in_vain = queue.next(parts).unwrap();
    queue.probed(in_vain, &Err::<(), _>(AskError::Deadline));
    queue.hear([lie.clone()]);
    assert!(queue.next(parts).is_none(), "the same again");
    queue.meet(Candidate { contact: real.clone(), host: None });
    let own = queue.next(parts).expect("its own word");
    queue.probed(own, &Ok(()));
    queue.hear([lie]);
    assert!(queue.next(parts).is_none(), "it has answered where it is");
}

#[tokio::test(start_paused = true)]
async fn of_a_peer_that_does_not_answer_where_one_says_another_may_know_better() {
    let network = Simulated::new(2, usize::MAX);
    let fixture = fixture(&network, 1, Vec::new());
    let real = network.contacts().remove(0);
    let mut queue = Queue::new(Vec::new());
    queue.hear([at(&real, "/ip4/10.9.9.9/tcp/1")]);
    let in_vain = queue.next(&fixture.parts).unwrap();
    queue.probed(in_vain, &Err::<(), _>(AskError::Deadline));
    queue.hear([real.clone()]);
    assert_eq!(queue.next(&fixture.parts).map(|probe| probe.contact), Some(real));
}

/// All that are probed are black holes, for ten seconds each.
#[tokio::test(start_paused = true)]
async fn neither_one_host_nor_one_answer_takes_the_turns_of_others() {
    let network = Simulated::new(2, usize::MAX);
    let fixture = fixture(&network, 1, Vec::new());
    let invented = |_| at(&Contact { peer: PeerId::random(), addresses: Vec::new() }, "/ip4/10.9.9.9/tcp/1");
    let mut queue = Queue::new(Vec::new());
    queue.hear((0..5_000).map(invented));
    let [host, other] = ["10.0.0.1", "10.0.0.2"].map(|ip| Some(ip.parse().unwrap()));
    for contact in (0..5_000).map(invented) {
        queue.meet(Candidate { contact, host });
    }
    let under_way = std::iter::from_fn(|| queue.next(&fixture.parts)).count();
    assert!((5..=20).contains(&under_way), "{under_way}");
    let real = network.contacts().remove(0);
    queue.meet(Candidate { contact: real.clone(), host: other });
    assert_eq!(queue.next(&fixture.parts).map(|probe| probe.contact), Some(real));
}

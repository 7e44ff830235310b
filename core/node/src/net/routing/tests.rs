//! The routing of a whole node that joins a simulated network, on a paused clock, with the defaults of a node.

#![allow(clippy::print_stdout, reason = "what it measured is of interest")]

use crate::config::Network as Defaults;
use crate::net::address::AddressPolicy;
use crate::net::heads::HeadList;
use crate::net::routing::kad_id::KadId;
use crate::net::routing::lookup::Pace;
use crate::net::routing::network::Pacer;
use crate::net::routing::rounds::{AllRounds, Outcome, Rounds};
use crate::net::routing::simulated::{ROOMY, Simulated, heads};
use crate::net::routing::table::{Limits, Server, Table};
use crate::net::routing::{advertiser, table_maintenance};
use crate::net::supervise::Phase;
use libp2p::PeerId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const HEADS: u32 = 200;
const SERVERS: u32 = 5_000;
const REFRESH: Duration = Duration::from_secs(Defaults::REFRESH_INTERVAL_S as u64);
const ADVERTISE: Duration = Duration::from_secs(Defaults::ADVERTISE_INTERVAL_S as u64);
/// Of the nearest of each head so many are asked whether they are in the table.
const NEAREST: usize = 8;
/// What a destination that is dialed all the time gets in a while: sixteen at once, and one in five seconds.
const DIALS_AT_ONCE: usize = 16;
const DIALS_EVERY: Duration = Duration::from_secs(5);

fn show(kind: &str, rounds: &Rounds) {
    let requests = Outcome::ALL.map(|outcome| (outcome.as_str(), rounds.requests.of(outcome)));
    let (targets, reached) = (rounds.targets(), rounds.reached());
    println!(
        "{kind}: {} rounds, the last in {:?}, {reached} of {targets} reached; requests: {requests:?}",
        rounds.ended(),
        rounds.last()
    );
}

/// The most dials that one destination got within any such time, and how many each got on average.
fn dials(dialed: &[(PeerId, Instant)], within: Duration) -> (usize, f64) {
    let mut of = HashMap::<PeerId, Vec<Instant>>::new();
    for (peer, at) in dialed {
        of.entry(*peer).or_default().push(*at);
    }
    let most = |times: &Vec<Instant>| {
        let in_time =
            |first: usize| times[first..].iter().take_while(|at| **at - times[first] < within).count();
        (0..times.len()).map(in_time).max().unwrap_or(0)
    };
    (of.values().map(most).max().unwrap_or(0), dialed.len() as f64 / f64::from(SERVERS))
}

/// How many of the heads have all of their nearest living servers in the table.
fn at_home(network: &Simulated, table: &Table, heads: &[PeerId]) -> usize {
    let snapshot = table.snapshot();
    let is_at_home = |head: &&PeerId| {
        let id = KadId::of_peer(head);
        let found = snapshot.closest(&id, NEAREST, Server::is_own);
        let found: Vec<_> = found.iter().map(|server| server.peer).collect();
        found == network.closest_alive(&id, NEAREST)
    };
    heads.iter().filter(is_at_home).count()
}

#[tokio::test(start_paused = true)]
async fn two_hundred_heads_join_five_thousand_servers_and_spare_each_of_them() {
    assert!(join(&[10, 30, 60, 120, 300, 900]).await >= HEADS as usize * 9 / 10);
}

#[tokio::test(start_paused = true)]
#[ignore = "an hour of the network takes half a minute; docs/BENCHMARKS.md has what it printed"]
async fn two_hundred_heads_are_at_home_among_five_thousand_servers_within_an_hour() {
    assert_eq!(join(&[10, 30, 60, 120, 300, 600, 1_800, 3_600]).await, HEADS as usize);
}

#[tokio::test(start_paused = true)]
async fn the_dead_leave_the_table_however_many_heads_aim_at_them() {
    let network = Simulated::to_be_dialed(60, 6);
    let Node { table, .. } = &node(&network, 60);
    let dead: Vec<_> =
        network.contacts().into_iter().filter(|contact| network.is_dead(&contact.peer)).collect();
    assert!(dead.len() >= 9, "{} dead", dead.len());
    for contact in &dead {
        network.was_reached(contact);
        table.insert(contact.peer, &contact.addresses, None, Instant::now().into_std()).unwrap();
    }
    let left = || {
        let snapshot = table.snapshot();
        dead.iter().filter(|contact| snapshot.find(&KadId::of_peer(&contact.peer)).is_some()).count()
    };
    tokio::time::sleep(REFRESH / 2).await;
    assert_eq!(left(), dead.len(), "they are not silent for long enough");
    tokio::time::sleep(2 * REFRESH).await;
    assert_eq!((left(), table.snapshot().foreign_len()), (0, 60 - dead.len()));
}

/// The routing of a node, whose tasks end with it.
struct Node {
    table: Arc<Table>,
    list: Arc<HeadList>,
    rounds: Arc<AllRounds>,
    tasks: [JoinHandle<()>; 2],
    _phase: watch::Sender<Phase>,
    _dir: TempDir,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn node(network: &Arc<Simulated>, heads_len: u32) -> Node {
    let len_max = Defaults::default().table_len_max(heads_len) as usize;
    let table = Arc::new(Table::new(AddressPolicy::Any, Limits { len_max, ..ROOMY }));
    let list = heads(heads_len, &table);
    let (phase_told, phase) = watch::channel(Phase::Serving);
    let (pacer, rounds) = (Arc::<Pacer>::default(), Arc::<AllRounds>::default());
    let dir = tempfile::tempdir().unwrap();
    let maintained = table_maintenance::Parts {
        table: Arc::clone(&table),
        network: Arc::clone(network),
        pacer: Arc::clone(&pacer),
        rounds: Arc::clone(&rounds),
        heads: Arc::clone(&list),
        bootstrap: network.contacts()[..6].to_vec(),
        interval: REFRESH,
        pace: Pace::AMINO,
        saved: dir.path().join("peers.json"),
        phase: phase.clone(),
    };
    let advertised = advertiser::Parts {
        heads: Arc::clone(&list),
        table: Arc::clone(&table),
        network: Arc::clone(network),
        pacer,
        rounds: Arc::clone(&rounds),
        interval: ADVERTISE,
        phase,
    };
    let maintenance = tokio::spawn(async move {
        let (_met, candidates) = mpsc::channel(1);
        table_maintenance::run(&maintained, candidates).await;
    });
    let tasks = [maintenance, tokio::spawn(advertiser::run(advertised))];
    Node { table, list, rounds, tasks, _phase: phase_told, _dir: dir }
}

/// Lets a node join and looks at it after so many seconds. How many of its heads are at home in the end.
async fn join(looks: &[u64]) -> usize {
    let network = Simulated::to_be_dialed(SERVERS, 20);
    let Node { table, list, rounds, .. } = &node(&network, HEADS);
    let begun = Instant::now();
    for seconds in looks {
        tokio::time::sleep_until(begun + Duration::from_secs(*seconds)).await;
        let (foreign, home) = (table.snapshot().foreign_len(), at_home(&network, table, &list.peers()));
        let asked = network.asked.lock().unwrap().len();
        let dialed = network.dialed.lock().unwrap().len();
        println!(
            "{seconds} s: {foreign} servers in the table, {home} heads with their {NEAREST} nearest, {asked} requests, {dialed} dials"
        );
    }
    show("refresh", &rounds.refresh);
    show("advertise", &rounds.advertise);
    let (ended, hops, took) = (rounds.lookups.ended(), rounds.lookups.hops(), rounds.lookups.took());
    println!("{ended} lookups, {hops} hops, {took:?}");
    let dialed = network.dialed.lock().unwrap().clone();
    for within in [DIALS_EVERY, Duration::from_secs(60), Duration::from_secs(3_600)] {
        let (most, average) = dials(&dialed, within);
        println!(
            "dials of one destination within {within:?}: at most {most}; {average:.1} in all on average"
        );
        let spared = DIALS_AT_ONCE + (within.as_secs() / DIALS_EVERY.as_secs()) as usize + 1;
        assert!(most <= spared, "{most} dials within {within:?}");
    }
    assert!(rounds.refresh.last() < REFRESH && rounds.advertise.last() < ADVERTISE);
    at_home(&network, table, &list.peers())
}

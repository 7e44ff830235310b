//! The table against a plain sort, and its rules one by one.

use super::*;
use std::net::Ipv4Addr;

const LIMITS: Limits = Limits {
    len_max: 10_000,
    bucket_len_max: 20,
    bucket_group_len_max: 2,
    group_len_max: 3,
    group_own_max: 2,
};
/// For tests that are not about room.
const ROOMY: Limits = Limits { bucket_len_max: 100_000, ..LIMITS };

fn table(limits: Limits) -> Table {
    let table = Table::new(AddressPolicy::Any, limits);
    table.set_own(PeerId::random(), &[tcp(Ipv4Addr::LOCALHOST)], Instant::now());
    table
}

fn tcp(ip: Ipv4Addr) -> Multiaddr {
    Multiaddr::from(ip).with(libp2p::multiaddr::Protocol::Tcp(4001))
}

fn local() -> Vec<Multiaddr> {
    vec![tcp(Ipv4Addr::LOCALHOST)]
}

fn fill(table: &Table, count: usize) {
    for _ in 0..count {
        let _full = table.insert(PeerId::random(), &local(), Instant::now());
    }
}

fn ids(servers: &[Arc<Server>]) -> Vec<KadId> {
    servers.iter().map(|server| server.id).collect()
}

#[test]
fn q2_the_closest_are_those_a_full_sort_gives() {
    for count in [0, 1, 7, 8, 9, 200, 3_000] {
        let table = table(ROOMY);
        fill(&table, count);
        let snapshot = table.snapshot();
        for seed in 0..50u32 {
            let target = KadId::of_key(&seed.to_be_bytes());
            let mut sorted: Vec<_> = snapshot.servers().map(|server| server.id).collect();
            sorted.sort_by_key(|id| id.distance(&target));
            sorted.truncate(20);
            assert_eq!(
                ids(&snapshot.closest(&target, 20, |_| false)),
                sorted,
                "{count} peers, target {seed}"
            );
        }
    }
}

#[test]
fn q3_those_left_out_are_replaced_by_the_next() {
    let table = table(ROOMY);
    fill(&table, 30);
    let snapshot = table.snapshot();
    let target = KadId::of_key(b"target");
    let all = snapshot.closest(&target, 22, |_| false);
    let without =
        snapshot.closest(&target, 20, |server| server.peer == all[0].peer || server.peer == all[3].peer);
    let expected: Vec<_> = [0usize, 3].iter().fold(ids(&all), |mut rest, at| {
        rest.retain(|id| *id != all[*at].id);
        rest
    });
    assert_eq!(ids(&without), expected);
}

#[test]
fn q7_servers_without_address_are_left_out() {
    let table = Table::new(AddressPolicy::Public, LIMITS);
    table.set_own(PeerId::random(), &local(), Instant::now());
    assert_eq!(table.snapshot().len(), 1);
    assert!(table.snapshot().closest(&KadId::of_key(b"x"), 20, |_| false).is_empty());
}

#[test]
fn q10_a_server_is_connected_while_a_connection_lives() {
    let table = table(LIMITS);
    let (before, after) = (PeerId::random(), PeerId::random());
    table.connected(before);
    for peer in [before, after] {
        table.insert(peer, &local(), Instant::now()).unwrap();
    }
    table.connected(after);
    let connected = |peer: &PeerId| table.snapshot().find(&KadId::of_peer(peer)).unwrap().is_connected();
    assert!(connected(&before) && connected(&after));
    table.connected(after);
    for peer in [before, after] {
        table.disconnected(&peer);
    }
    assert!(!connected(&before) && connected(&after));
}

#[test]
fn q11_an_answer_has_at_most_two_own_heads_of_one_group() {
    let table = Table::new(AddressPolicy::Public, LIMITS);
    for last in 1..=5 {
        table.set_own(PeerId::random(), &[tcp(Ipv4Addr::new(1, 2, 3, last))], Instant::now());
    }
    table.set_own(PeerId::random(), &[tcp(Ipv4Addr::new(1, 3, 3, 1))], Instant::now());
    assert_eq!(table.snapshot().closest(&KadId::of_key(b"x"), 20, |_| false).len(), 3);
}

#[test]
fn t1_a_bucket_holds_twenty() {
    let table = table(LIMITS);
    fill(&table, 2_000);
    let snapshot = table.snapshot();
    let own = snapshot.servers().find(|server| server.is_own()).unwrap();
    for prefix in 0..KadId::BITS {
        assert!(snapshot.bucket(&own.id, prefix).count() <= 20, "bucket {prefix}");
    }
    assert_eq!(snapshot.bucket(&own.id, 0).count(), 20);
}

#[test]
fn t3_a_live_peer_is_not_evicted_for_a_newer_one() {
    let table = table(LIMITS);
    fill(&table, 500);
    let before: Vec<_> = table.snapshot().servers().map(|server| server.id).collect();
    fill(&table, 2_000);
    let snapshot = table.snapshot();
    assert!(before.iter().all(|id| snapshot.find(id).is_some()));
}

#[test]
fn t5_a_table_holds_three_of_a_group_and_a_bucket_two() {
    let table = table(LIMITS);
    let mut refused = 0;
    for last in 1..=200 {
        let addresses = [tcp(Ipv4Addr::new(8, 8, 1, last)), tcp(Ipv4Addr::LOCALHOST)];
        refused +=
            usize::from(table.insert(PeerId::random(), &addresses, Instant::now()) == Err(Refusal::Group));
    }
    let snapshot = table.snapshot();
    let own = snapshot.servers().find(|server| server.is_own()).unwrap();
    assert_eq!(snapshot.len() - 1, 3, "of one group");
    assert!((0..KadId::BITS).all(|prefix| snapshot.bucket(&own.id, prefix).count() <= 2));
    assert!(refused > 190);
}

#[test]
fn t6_a_peer_with_private_addresses_alone_is_refused_on_a_public_swarm() {
    let table = Table::new(AddressPolicy::Public, LIMITS);
    table.set_own(PeerId::random(), &[tcp(Ipv4Addr::new(1, 1, 1, 1))], Instant::now());
    let private = [tcp(Ipv4Addr::new(10, 0, 0, 1))];
    assert_eq!(table.consider(&PeerId::random(), &private), Err(Refusal::NoAddress));
    assert_eq!(table.insert(PeerId::random(), &private, Instant::now()), Err(Refusal::NoAddress));
}

#[test]
fn t4_peers_without_sign_of_life_are_found() {
    let table = table(LIMITS);
    let start = Instant::now();
    let (quiet, lively) = (PeerId::random(), PeerId::random());
    for peer in [quiet, lively] {
        table.insert(peer, &local(), start).unwrap();
    }
    let later = start + Duration::from_secs(300);
    table.seen(&lively, later);
    let silent = table.silent_for(Duration::from_secs(300), later);
    assert_eq!(silent.iter().map(|server| server.peer).collect::<Vec<_>>(), [quiet]);
}

#[test]
fn t8_own_heads_are_there_without_a_probe_and_are_never_silent() {
    let table = table(LIMITS);
    let later = Instant::now() + Duration::from_secs(86_400);
    assert!(table.silent_for(Duration::from_secs(1), later).is_empty());
    let own = table.snapshot().servers().next().unwrap().peer;
    assert_eq!(table.consider(&own, &local()), Err(Refusal::Own));
}

#[test]
fn connections_of_strangers_are_forgotten_when_they_end() {
    let table = table(LIMITS);
    for _ in 0..100 {
        let stranger = PeerId::random();
        table.connected(stranger);
        table.disconnected(&stranger);
    }
    assert_eq!(table.connections().by_peer.len(), 1, "our own head alone");
}

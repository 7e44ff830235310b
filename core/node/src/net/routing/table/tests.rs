//! The table against a plain sort, and its rules one by one.

use super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
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
        let _full = table.insert(PeerId::random(), &local(), None, Instant::now());
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
fn an_id_is_among_the_closest_as_a_full_sort_has_it() {
    for count in [0, 5, 18, 19, 20, 300, 3_000] {
        let table = table(ROOMY);
        fill(&table, count);
        let snapshot = table.snapshot();
        let stranger = KadId::of_peer(&PeerId::random());
        for seed in 0..50u32 {
            let target = KadId::of_key(&seed.to_be_bytes());
            let mut sorted: Vec<_> = snapshot.servers().map(|server| server.id).collect();
            sorted.sort_by_key(|id| id.distance(&target));
            for (place, id) in sorted.iter().enumerate() {
                assert_eq!(snapshot.is_among_closest(id, &target, 20), place < 20, "{place} of {count}");
            }
            // One that is in no table, as a head without an address.
            let closer = sorted.iter().filter(|id| id.distance(&target) < stranger.distance(&target)).count();
            assert_eq!(snapshot.is_among_closest(&stranger, &target, 20), closer < 20, "{count} peers");
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
        table.insert(peer, &local(), None, Instant::now()).unwrap();
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
        let ip = Ipv4Addr::new(8, 8, 1, last);
        let taken = table.insert(PeerId::random(), &[tcp(ip)], Some(ip.into()), Instant::now());
        refused += usize::from(taken == Err(Refusal::Group));
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
    assert_eq!(table.insert(PeerId::random(), &private, None, Instant::now()), Err(Refusal::NoAddress));
}

#[test]
fn t4_peers_without_sign_of_life_are_found() {
    let table = table(LIMITS);
    let start = Instant::now();
    let (quiet, lively) = (PeerId::random(), PeerId::random());
    for peer in [quiet, lively] {
        table.insert(peer, &local(), None, start).unwrap();
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
    assert_eq!(table.connections.len(), 1, "our own head alone");
}

#[test]
fn a_peer_that_is_removed_leaves_nothing_behind() {
    let table = table(ROOMY);
    for _ in 0..100 {
        let peer = PeerId::random();
        table.insert(peer, &local(), None, Instant::now()).unwrap();
        // As a refresh holds it while it is probed.
        let held = table.silent_for(Duration::ZERO, Instant::now());
        table.remove(&peer);
        drop(held);
    }
    assert_eq!(table.connections.len(), 1, "our own head alone");
}

#[test]
fn whatever_the_order_of_entries_and_connections_nothing_is_left_at_the_end() {
    for seed in 0..200u64 {
        let (table, mut random) = (table(LIMITS), StdRng::seed_from_u64(seed));
        let peers: Vec<_> = (0..8).map(|_| PeerId::random()).collect();
        let mut open = vec![0u32; peers.len()];
        for _ in 0..200 {
            let at = random.random_range(0..peers.len());
            match random.random_range(0..5) {
                0 => drop(table.insert(peers[at], &local(), None, Instant::now())),
                1 => table.remove(&peers[at]),
                2 => table.remove_foreign(&peers[at]),
                3 => {
                    table.connected(peers[at]);
                    open[at] += 1;
                }
                _ if open[at] > 0 => {
                    table.disconnected(&peers[at]);
                    open[at] -= 1;
                }
                _ => table.disconnected(&PeerId::random()),
            }
            assert_eq!(table.is_connected(&peers[at]), open[at] > 0, "seed {seed}");
            let snapshot = table.snapshot();
            if let Some(server) = snapshot.find(&KadId::of_peer(&peers[at])) {
                assert_eq!(server.is_connected(), open[at] > 0, "seed {seed}");
            }
        }
        for (peer, open) in peers.iter().zip(open) {
            (0..open).for_each(|_| table.disconnected(peer));
            table.remove(peer);
        }
        let own = table.snapshot().servers().next().unwrap().peer;
        table.remove(&own);
        assert_eq!((table.connections.len(), table.snapshot().len()), (0, 0), "seed {seed}");
    }
}

/// What a peer says of itself against where it was reached.
fn reached(table: &Table, peer: PeerId, told: &str, at: [u8; 4]) -> Result<(), Refusal> {
    table.insert(peer, &[told.parse().unwrap()], Some(Ipv4Addr::from(at).into()), Instant::now())
}

#[test]
fn t5_a_peer_counts_for_the_group_in_which_it_was_reached() {
    let table = table(ROOMY);
    // They name a host that others are in, or names that stand for nothing.
    for (nth, told) in
        ["/ip4/9.9.1.1/tcp/1", "/dns4/a.example/tcp/1", "/dnsaddr/b.example"].iter().enumerate()
    {
        reached(&table, PeerId::random(), told, [8, 8, 1, nth as u8]).unwrap_or_else(|cause| {
            assert_eq!((nth, cause), (2, Refusal::Group), "two of a bucket");
        });
    }
    while table.snapshot().foreign_len() < 3 {
        let _other_bucket = reached(&table, PeerId::random(), "/dns4/c.example/tcp/1", [8, 8, 2, 1]);
    }
    let refused = reached(&table, PeerId::random(), "/dns4/d.example/tcp/1", [8, 8, 3, 1]);
    assert_eq!(refused, Err(Refusal::Group));
    // Nobody was reached where one of them said that it is.
    let taken =
        (0..3).filter(|_| reached(&table, PeerId::random(), "/ip4/9.9.1.2/tcp/1", [9, 9, 1, 2]).is_ok());
    assert!(taken.count() >= 2);
}

#[test]
fn t5_a_known_peer_that_moves_is_judged_again() {
    let table = table(Limits { bucket_group_len_max: 3, ..ROOMY });
    for last in 1..=3 {
        reached(&table, PeerId::random(), "/dns4/a.example/tcp/1", [8, 8, 1, last]).unwrap();
    }
    let mover = PeerId::random();
    reached(&table, mover, "/ip4/9.9.1.1/tcp/1", [9, 9, 1, 1]).unwrap();
    assert!(!table.wants(&mover, &["/ip4/9.9.1.1/tcp/1".parse().unwrap()]));
    assert!(table.wants(&mover, &["/ip4/8.8.1.9/tcp/1".parse().unwrap()]), "it is to be probed there");
    assert_eq!(reached(&table, mover, "/ip4/8.8.1.9/tcp/1", [8, 8, 1, 9]), Err(Refusal::Group));
    assert!(table.snapshot().find(&KadId::of_peer(&mover)).is_none(), "it is where there is no room");
    // Within its group, and to another one that has room, it may move.
    let mover = PeerId::random();
    for at in [[9, 9, 1, 1], [9, 9, 2, 2], [7, 7, 1, 1], [9, 9, 1, 1]] {
        let told = format!("/ip4/{}/tcp/1", Ipv4Addr::from(at));
        assert_eq!(reached(&table, mover, &told, at), Ok(()));
        assert_eq!(table.snapshot().foreign_len(), 4);
    }
}

#[test]
fn the_closest_head_decides_whether_there_is_room() {
    // Against all heads one by one, which is what room for a peer means.
    let table = Table::new(AddressPolicy::Any, LIMITS);
    for _ in 0..50 {
        table.set_own(PeerId::random(), &local(), Instant::now());
    }
    let (mut taken, mut full) = (0, 0);
    for _ in 0..5_000 {
        let (peer, snapshot) = (PeerId::random(), table.snapshot().clone());
        let id = KadId::of_peer(&peer);
        let room = snapshot.servers().filter(|server| server.is_own()).any(|head| {
            let bucket = snapshot.bucket(&head.id, head.id.common_prefix(&id));
            bucket.filter(|server| !server.is_own()).count() < LIMITS.bucket_len_max
        });
        assert_eq!(table.consider(&peer, &local()).is_ok(), room);
        assert_eq!(table.insert(peer, &local(), None, Instant::now()).is_ok(), room);
        *(if room { &mut taken } else { &mut full }) += 1;
    }
    assert!(taken > 500 && full > 500, "{taken} taken, {full} refused");
}

#[test]
fn whether_a_peer_is_connected_is_told_while_the_table_is_being_changed() {
    let table = table(LIMITS);
    let peer = PeerId::random();
    table.connected(peer);
    let changing = table.changing();
    let (told, answers) = std::sync::mpsc::sync_channel(1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            table.connected(peer);
            table.disconnected(&peer);
            told.send((table.is_connected(&peer), table.consider(&PeerId::random(), &local()))).unwrap();
        });
        // One that waits for the change would wait for ever.
        let answer = answers.recv_timeout(Duration::from_secs(60));
        drop(changing);
        assert_eq!(answer, Ok((true, Ok(()))));
    });
}

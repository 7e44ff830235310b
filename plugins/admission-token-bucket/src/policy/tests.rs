use super::*;
use crate::config::{Node, Peer, Prefix};
use hydra_api::{Operation, PeerId, Rung};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const HOME: [u8; 4] = [203, 0, 113, 7];

fn config(peer: u32, prefix: u32, node: u32) -> Config {
    Config {
        peer: Peer { enabled: peer > 0, rate_per_s: 1, burst: peer.max(1) },
        prefix: Prefix { enabled: prefix > 0, rate_per_s: 1, burst: prefix.max(1) },
        node: Node { enabled: node > 0, rate_per_s: 1, burst: node.max(1) },
        ..Config::default()
    }
}

fn peer(id: u32) -> PeerId {
    PeerId::new(&id.to_be_bytes()).unwrap()
}

fn from(id: u32, address: impl Into<IpAddr>) -> Request<'static> {
    asks(Operation::AddProvider, id, Some(address.into()))
}

fn asks(operation: Operation, id: u32, address: Option<IpAddr>) -> Request<'static> {
    Request::new(operation, peer(id), address, 0, b"key")
}

/// How many of `asked` requests are admitted at `now`.
fn admitted(policy: &TokenBucket, request: Request<'_>, asked: usize, now: Instant) -> usize {
    tokens(policy, request, asked, now).len()
}

/// The tokens of those that are admitted.
fn tokens(policy: &TokenBucket, request: Request<'_>, asked: usize, now: Instant) -> Vec<Token> {
    let judged = (0..asked).map(|_| policy.admit(&request, &Load::IDLE, now));
    judged.filter(|judged| judged.verdict == Verdict::Admit).map(|judged| judged.token).collect()
}

#[test]
fn a_peer_at_its_limit_takes_nothing_from_what_others_share() {
    let (policy, now) = (TokenBucket::new(config(2, 5, 100)).unwrap(), Instant::now());
    assert_eq!(admitted(&policy, from(1, HOME), 1_000, now), 2);
    assert_eq!(admitted(&policy, from(2, HOME), 1_000, now), 2);
    assert_eq!(admitted(&policy, from(3, HOME), 1_000, now), 1, "the prefix has one left");
    assert_eq!(policy.admit(&from(4, HOME), &Load::IDLE, now).verdict, Verdict::Decline(PREFIX));
    assert_eq!(
        admitted(&policy, from(3, [198, 51, 100, 1]), 1_000, now),
        1,
        "its refused requests cost it nothing"
    );
}

#[test]
fn a_thousand_ids_behind_one_prefix_share_its_budget() {
    let (policy, now) = (TokenBucket::new(config(10, 50, 0)).unwrap(), Instant::now());
    let v4: usize = (0..1_000).map(|id| admitted(&policy, from(id, [203, 0, 113, id as u8]), 10, now)).sum();
    assert_eq!(v4, 50);
    let v6 = |id: u16| IpAddr::from([0x2001, 0xdb8, 7, id, id, 0, 0, id]);
    let v6: usize = (0..1_000).map(|id| admitted(&policy, from(id.into(), v6(id)), 10, now)).sum();
    assert_eq!(v6, 50);
    let relayed = |id| asks(Operation::AddProvider, id, None);
    let relayed: usize = (0..1_000).map(|id| admitted(&policy, relayed(id), 10, now)).sum();
    assert_eq!(relayed, 50);
}

#[test]
fn an_ipv4_address_written_as_ipv6_is_of_its_ipv4_prefix() {
    let (policy, now) = (TokenBucket::new(config(0, 1, 0)).unwrap(), Instant::now());
    assert_eq!(admitted(&policy, from(1, std::net::Ipv4Addr::from(HOME).to_ipv6_mapped()), 1, now), 1);
    assert_eq!(admitted(&policy, from(2, HOME), 1, now), 0);
}

#[test]
fn find_node_and_ping_always_pass() {
    let (policy, now) = (TokenBucket::new(config(1, 1, 1)).unwrap(), Instant::now());
    assert_eq!(admitted(&policy, from(1, HOME), 100, now), 1);
    for operation in [Operation::FindNode, Operation::Ping] {
        assert_eq!(admitted(&policy, asks(operation, 1, Some(HOME.into())), 100, now), 100);
    }
}

#[test]
fn reads_and_writes_cost_what_the_config_says() {
    let costs = Config { read_cost: 1, write_cost: 5, ..config(10, 0, 0) };
    let (policy, now) = (TokenBucket::new(costs).unwrap(), Instant::now());
    assert_eq!(admitted(&policy, from(1, HOME), 1, now), 1);
    let read = asks(Operation::GetProviders, 1, Some(HOME.into()));
    assert_eq!(admitted(&policy, read, 100, now), 5);
    let impossible = TokenBucket::new(Config { write_cost: 11, ..config(10, 0, 0) });
    assert!(impossible.is_err(), "a request that can never be paid is an error of the config");
}

#[test]
fn the_machine_itself_is_exempt_unless_the_config_says_otherwise() {
    let now = Instant::now();
    for address in [IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)] {
        let policy = TokenBucket::new(config(1, 1, 1)).unwrap();
        assert_eq!(admitted(&policy, from(1, address), 10, now), 10);
        let strict = TokenBucket::new(Config { loopback_exempt: false, ..config(1, 1, 1) }).unwrap();
        assert_eq!(admitted(&strict, from(1, address), 10, now), 1);
    }
}

#[test]
fn a1_what_never_started_is_given_back_to_every_budget() {
    let now = Instant::now();
    for config in [config(1, 0, 0), config(0, 1, 0), config(0, 0, 1), config(1, 1, 1)] {
        let policy = TokenBucket::new(config).unwrap();
        for _ in 0..10 {
            let tokens = tokens(&policy, from(1, HOME), 2, now);
            assert_eq!(tokens.len(), 1);
            policy.settle(&from(1, HOME), tokens[0], &Outcome::NeverStarted, now);
        }
        let tokens = tokens(&policy, from(1, HOME), 2, now);
        assert_eq!(tokens.len(), 1);
        policy.settle(&from(1, HOME), tokens[0], &Outcome::Abandoned, now);
        assert_eq!(admitted(&policy, from(1, HOME), 2, now), 0, "what was served stays paid");
    }
}

#[test]
fn a1_a_degraded_request_that_never_started_gives_back_nothing_it_did_not_take() {
    let degrade = Config { then: Then::Degrade(Rung::Stale), ..config(3, 0, 5) };
    let (policy, now) = (TokenBucket::new(degrade).unwrap(), Instant::now());
    assert_eq!(admitted(&policy, from(1, HOME), 3, now), 3);
    for _ in 0..100 {
        let judged = policy.admit(&from(1, HOME), &Load::IDLE, now);
        assert_eq!(judged.verdict, Verdict::Degrade(Rung::Stale));
        policy.settle(&from(1, HOME), judged.token, &Outcome::NeverStarted, now);
    }
    assert_eq!(
        admitted(&policy, from(2, HOME), 5, now),
        2,
        "the node's budget is as the paid requests left it"
    );
}

#[test]
fn a4_a_now_that_goes_back_neither_fills_nor_empties_a_bucket() {
    let (policy, start) = (TokenBucket::new(config(2, 0, 0)).unwrap(), Instant::now());
    let later = start + Duration::from_secs(3_600);
    assert_eq!(admitted(&policy, from(1, HOME), 1, later), 1);
    assert_eq!(admitted(&policy, from(1, HOME), 5, start), 1, "one was left");
    assert_eq!(admitted(&policy, from(1, HOME), 5, later + Duration::from_secs(1)), 1);
}

#[test]
fn a6_threads_together_admit_what_one_could() {
    let (policy, now) = (TokenBucket::new(config(1_000, 0, 0)).unwrap(), Instant::now());
    let policy = &policy;
    let total: usize = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(move || admitted(policy, from(1, HOME), 1_000, now))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(total, 1_000);
}

#[test]
fn values_out_of_bounds_are_refused_by_their_key() {
    let peer = Peer { burst: 0, ..Peer::default() };
    let refused = TokenBucket::new(Config { peer, ..Config::default() }).unwrap_err();
    assert_eq!(refused.kind(), &hydra_api::OpenErrorKind::Config { key: "peer.burst".into() });
    assert!(TokenBucket::new(Config { ipv4_prefix_bits: 33, ..Config::default() }).is_err());
    assert!(TokenBucket::new(Config { peers_max: u32::MAX, ..Config::default() }).is_err());
}

#[test]
fn part_of_a_budget_keeps_the_defaults_of_the_rest() {
    let table = serde_json::json!({ "peer": { "burst": 7 }, "then": { "degrade": "cache_only" } });
    let config: Config = serde_json::from_value(table).unwrap();
    assert_eq!(config.peer, Peer { burst: 7, ..Peer::default() });
    assert_eq!(config.then, Then::Degrade(Rung::CacheOnly));
    assert!(serde_json::from_value::<Config>(serde_json::json!({ "peer": { "bursts": 7 } })).is_err());
}

/// A table of the config with a change.
fn table(config: &Config, change: impl FnOnce(&mut Config)) -> serde_json::Value {
    let mut changed = config.clone();
    change(&mut changed);
    serde_json::to_value(changed).unwrap()
}

#[test]
fn a4_the_end_of_time_admits_no_more_than_a_burst() {
    let (policy, now) = (TokenBucket::new(config(2, 3, 3)).unwrap(), Instant::now());
    assert_eq!(admitted(&policy, from(1, HOME), 5, now), 2);
    let ages = (0..63).filter_map(|power| now.checked_add(Duration::from_secs(1 << power)));
    let end = ages.max().unwrap();
    assert_eq!(admitted(&policy, from(1, HOME), 1_000, end), 2);
    assert_eq!(admitted(&policy, from(2, HOME), 1_000, end), 1);
}

#[test]
fn every_key_but_the_sizes_is_taken_up() {
    let opened = config(2, 0, 0);
    let (policy, now) = (TokenBucket::new(opened.clone()).unwrap(), Instant::now());
    let change = |change: fn(&mut Config)| policy.reconfigure(table(&opened, change)).unwrap();
    assert_eq!(admitted(&policy, from(1, HOME), 10, now), 2);
    change(|config| config.peer.burst = 5);
    assert_eq!(admitted(&policy, from(1, HOME), 10, now), 3, "what was taken stays taken");
    assert_eq!(admitted(&policy, from(2, HOME), 10, now), 5);
    change(|config| config.write_cost = 0);
    assert_eq!(admitted(&policy, from(1, HOME), 10, now), 10);
    change(|config| config.then = Then::Degrade(Rung::Short));
    assert_eq!(policy.admit(&from(1, HOME), &Load::IDLE, now).verdict, Verdict::Degrade(Rung::Short));
    change(|config| config.loopback_exempt = false);
    assert_eq!(admitted(&policy, from(3, [127, 0, 0, 1]), 10, now), 2);
    change(|config| config.peer.enabled = false);
    assert_eq!(admitted(&policy, from(1, HOME), 10, now), 10);
    change(|config| {
        (config.peer.enabled, config.node) = (false, Node { enabled: true, rate_per_s: 1, burst: 4 })
    });
    assert_eq!(admitted(&policy, from(1, HOME), 10, now), 4);
}

#[test]
fn a_budget_for_prefixes_is_taken_up_and_its_prefixes_widen() {
    let opened = config(0, 0, 0);
    let (policy, now) = (TokenBucket::new(opened.clone()).unwrap(), Instant::now());
    let addresses = || (0..100_u8).map(|number| [198, 51, number, 1]);
    let admitted = || addresses().map(|address| admitted(&policy, from(1, address), 2, now)).sum::<usize>();
    assert_eq!(admitted(), 200);
    let prefix = Prefix { enabled: true, rate_per_s: 1, burst: 1 };
    policy.reconfigure(table(&opened, |config| config.prefix = prefix)).unwrap();
    assert_eq!(admitted(), 100, "one for each /24");
    policy
        .reconfigure(table(&opened, |config| (config.prefix, config.ipv4_prefix_bits) = (prefix, 16)))
        .unwrap();
    assert_eq!(admitted(), 1, "one for the /16");
}

#[test]
fn a_table_that_cannot_be_taken_up_changes_nothing() {
    let opened = config(2, 0, 100);
    let (policy, now) = (TokenBucket::new(opened.clone()).unwrap(), Instant::now());
    let sizes =
        table(&opened, |config| (config.peers_max, config.prefixes_max, config.write_cost) = (128, 64, 0));
    assert_eq!(policy.reconfigure(sizes), Err(ReconfigureError::keys(["peers_max", "prefixes_max"])));
    for (table, key) in [
        (table(&opened, |config| (config.node.burst, config.write_cost) = (0, 0)), "node.burst"),
        (table(&opened, |config| config.write_cost = 3), "peer.burst"),
        (serde_json::json!({ "peer": { "rate": 7 } }), "peer"),
        (serde_json::json!({ "prefixes": 7 }), "prefixes"),
    ] {
        let refused = policy.reconfigure(table).unwrap_err();
        let ReconfigureError::Config(issue) = &refused else { panic!("{refused:?}") };
        assert!(issue.key.starts_with(key), "{refused}");
    }
    assert_eq!(admitted(&policy, from(1, HOME), 10, now), 2, "as before");
}

#[test]
fn a_raised_rate_does_not_wait_for_what_the_old_one_owes() {
    let slow = Peer { enabled: true, rate_per_s: 1, burst: 1_000_000 };
    let fast = Peer { enabled: true, rate_per_s: 1_000, burst: 100 };
    let opened = Config { peer: slow, write_cost: 1_000_000, ..config(0, 0, 0) };
    let (policy, now) = (TokenBucket::new(opened.clone()).unwrap(), Instant::now());
    assert_eq!(admitted(&policy, from(1, HOME), 10, now), 1);
    policy.reconfigure(table(&opened, |config| (config.peer, config.write_cost) = (fast, 1))).unwrap();
    assert_eq!(admitted(&policy, from(1, HOME), 10, now), 0, "empty; it would be full in 11 days");
    let later = now + Duration::from_secs(1);
    assert_eq!(admitted(&policy, from(1, HOME), 1_000, later), 100);
}

#[test]
fn what_is_given_back_after_a_change_is_what_was_taken() {
    let opened = config(100, 100, 100);
    let (policy, now) = (TokenBucket::new(opened.clone()).unwrap(), Instant::now());
    let paid = tokens(&policy, from(1, HOME), 50, now);
    policy.reconfigure(table(&opened, |config| config.write_cost = 10)).unwrap();
    paid.into_iter().for_each(|token| policy.settle(&from(1, HOME), token, &Outcome::NeverStarted, now));
    assert_eq!(admitted(&policy, from(1, HOME), 100, now), 10, "full again, and not fuller");
}

#[test]
fn a_request_is_judged_by_the_old_table_or_the_new_one() {
    // By either table every request of a new peer is admitted; by the cost of the one and the burst of the other it is not.
    let peer = |burst| Peer { enabled: true, rate_per_s: 1_000_000, burst };
    let few = Config { peer: peer(1), write_cost: 1, ..config(0, 0, 0) };
    let many = table(&few, |config| (config.peer, config.write_cost) = (peer(1_000_000), 1_000_000));
    let few = serde_json::to_value(few).unwrap();
    let (policy, start) = (TokenBucket::new(config(0, 0, 0)).unwrap(), Instant::now());
    policy.reconfigure(few.clone()).unwrap();
    let (over, seconds) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (policy, over, seconds) = (&policy, &over, &seconds);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    // Later than all that was asked before: whatever was taken then has been gained again.
                    let now = start + Duration::from_secs(seconds.fetch_add(10, Ordering::SeqCst));
                    let judged = policy.admit(&from(thread, HOME), &Load::IDLE, now);
                    assert_eq!(judged.verdict, Verdict::Admit);
                    policy.settle(&from(thread, HOME), judged.token, &Outcome::NeverStarted, now);
                }
            });
        }
        for round in 0..5_000 {
            policy.reconfigure(if round % 2 == 0 { &many } else { &few }.clone()).unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
}

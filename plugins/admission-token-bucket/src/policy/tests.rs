use super::*;
use crate::config::{Node, Peer, Prefix};
use hydra_api::{PeerId, Rung};
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

#[test]
fn a_changed_table_is_taken_up_whole_or_not_at_all() {
    let (policy, start) = (TokenBucket::new(config(2, 0, 100)).unwrap(), Instant::now());
    assert_eq!(admitted(&policy, from(1, HOME), 10, start), 2);
    let with = |change: fn(&mut Config)| {
        let mut changed = config(2, 0, 100);
        change(&mut changed);
        serde_json::to_value(changed).unwrap()
    };
    policy.reconfigure(with(|config| config.peer.burst = 5)).unwrap();
    assert_eq!(admitted(&policy, from(1, HOME), 10, start), 3, "what was taken stays taken");
    assert_eq!(admitted(&policy, from(2, HOME), 10, start), 5);
    policy.reconfigure(with(|config| config.write_cost = 0)).unwrap();
    assert_eq!(admitted(&policy, from(1, HOME), 10, start), 10);
    let degrade = with(|config| (config.then, config.peer.burst) = (Then::Degrade(Rung::Short), 5));
    policy.reconfigure(degrade.clone()).unwrap();
    assert_eq!(policy.admit(&from(1, HOME), &Load::IDLE, start).verdict, Verdict::Degrade(Rung::Short));
    let restart = policy.reconfigure(with(|config| (config.peers_max, config.write_cost) = (128, 0)));
    assert_eq!(restart, Err(ReconfigureError::keys(["peers_max"])));
    let wrong = policy.reconfigure(with(|config| (config.node.burst, config.write_cost) = (0, 0)));
    assert!(wrong.unwrap_err().to_string().starts_with("node.burst"));
    assert!(policy.reconfigure(serde_json::json!({ "peers": 7 })).unwrap_err().to_string().contains("peers"));
    let judged = policy.admit(&from(1, HOME), &Load::IDLE, start);
    assert_eq!(
        judged.verdict,
        Verdict::Degrade(Rung::Short),
        "as before: nothing of what was refused is in force"
    );
}

#[test]
fn a_table_changes_while_requests_are_judged() {
    let (policy, now) = (TokenBucket::new(config(1_000, 0, 0)).unwrap(), Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..2_000u32 {
                let mut changed = config(1_000, 0, 0);
                changed.peer.burst = 1_000 - round % 2;
                policy.reconfigure(serde_json::to_value(changed).unwrap()).unwrap();
            }
        });
        let askers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| (0..20_000).map(|_| admitted(&policy, from(1, HOME), 1, now)).sum::<usize>())
            })
            .collect();
        let total: usize = askers.into_iter().map(|asker| asker.join().unwrap()).sum();
        assert!((999..=1_000).contains(&total), "{total} admitted");
    });
}

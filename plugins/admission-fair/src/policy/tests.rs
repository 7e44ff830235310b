use super::*;
use hydra_api::Operation;
use hydra_api::admission::Level;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The queue of writes and the line of reads are so full, in percent.
fn load(percent: u32) -> Load {
    let level = Level { used: percent, max: 100 };
    Load::new(level, level, Level { used: 1, max: 1 }, Rung::Full)
}

fn peer(number: u32) -> PeerId {
    let mut bytes = [7; 38];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    PeerId::new(&bytes).unwrap()
}

fn v4(bits: u32) -> Option<IpAddr> {
    Some(Ipv4Addr::from_bits(bits).into())
}

/// Shares of a fixed size: 100 a second, 154 at once.
const FIXED: u32 = 100;
const AT_ONCE: usize = 154;

fn fixed() -> Config {
    Config { share_per_s_min: FIXED, share_per_s_max: FIXED, ..Config::default() }
}

fn ask(
    policy: &Fair,
    operation: Operation,
    number: u32,
    address: Option<IpAddr>,
    load: &Load,
    now: Instant,
) -> Verdict {
    policy.admit(&Request::new(operation, peer(number), address, 0, b"key"), load, now).verdict
}

/// How many of many requests at one moment are admitted.
fn admitted(
    policy: &Fair,
    number: impl Fn(u32) -> u32,
    address: impl Fn(u32) -> Option<IpAddr>,
    now: Instant,
) -> usize {
    let write = |it: &u32| ask(policy, Operation::AddProvider, number(*it), address(*it), &load(30), now);
    (0..5_000).filter(|it| write(it) == Verdict::Admit).count()
}

#[test]
fn without_pressure_all_is_admitted_and_with_it_the_biggest_are_degraded_then_declined() {
    let (policy, now) = (Fair::new(fixed()).unwrap(), Instant::now());
    let giant = |operation, percent| ask(&policy, operation, 1, v4(1 << 30), &load(percent), now);
    for operation in [Operation::AddProvider, Operation::GetProviders] {
        assert!((0..1_000).all(|_| giant(operation, 19) == Verdict::Admit));
        assert_eq!(giant(operation, 20), Verdict::Degrade(Rung::Stale));
    }
    assert_eq!(giant(Operation::AddProvider, 30), Verdict::Decline(PEER));
    assert_eq!(giant(Operation::GetProviders, 30), Verdict::Degrade(Rung::CacheOnly), "reads last");
    let small = |percent| ask(&policy, Operation::AddProvider, 2, v4(1 << 31), &load(percent), now);
    assert!((0..AT_ONCE).all(|_| small(100) == Verdict::Admit), "who is below the share is not limited");
}

#[test]
fn above_the_peak_reads_are_declined_too() {
    let (policy, now) = (Fair::new(fixed()).unwrap(), Instant::now());
    let mut above = load(0);
    above.rung = Rung::RoutingOnly;
    let verdicts = (0..1_000).map(|_| ask(&policy, Operation::GetProviders, 1, v4(1 << 30), &above, now));
    assert_eq!(verdicts.last(), Some(Verdict::Decline(PEER)));
}

#[test]
fn peers_of_one_host_and_hosts_of_one_network_share() {
    let now = Instant::now();
    let policy = || Fair::new(fixed()).unwrap();
    assert_eq!(admitted(&policy(), |_| 1, |_| v4(1 << 30), now), AT_ONCE, "one peer");
    assert_eq!(admitted(&policy(), |it| it, |_| v4(1 << 30), now), 309, "many ids of one host");
    assert_eq!(
        admitted(&policy(), |it| it, |it| v4((1 << 30) | (it % 256)), now),
        619,
        "many hosts of one network"
    );
    assert_eq!(admitted(&policy(), |it| it, |_| None, now), 309, "relayed ones");
    assert_eq!(admitted(&policy(), |it| it, |it| v4((it << 8) | (1 << 30)), now), 5_000, "networks apart");
    let v6 = |bits: u128| Some(IpAddr::from(Ipv6Addr::from_bits(bits)));
    let base = 0x2001_0db8_u128 << 96;
    assert_eq!(admitted(&policy(), |it| it, |it| v6(base | u128::from(it)), now), 309, "one /56");
    assert_eq!(admitted(&policy(), |it| it, |it| v6(base | u128::from(it % 256) << 72), now), 619, "one /48");
    let mapped = |it: u32| Some(IpAddr::from(Ipv4Addr::from_bits((1 << 30) | (it % 256)).to_ipv6_mapped()));
    assert_eq!(admitted(&policy(), |it| it, mapped, now), 619, "IPv4 in IPv6");
}

#[test]
fn loopback_is_exempt_unless_told_otherwise() {
    let now = Instant::now();
    let local = |_| Some(IpAddr::from(Ipv4Addr::LOCALHOST));
    assert_eq!(admitted(&Fair::new(fixed()).unwrap(), |_| 1, local, now), 5_000);
    let config = Config { loopback_exempt: false, ..fixed() };
    assert_eq!(admitted(&Fair::new(config).unwrap(), |_| 1, local, now), AT_ONCE);
}

#[test]
fn reads_and_writes_have_shares_of_their_own() {
    let (policy, now) = (Fair::new(fixed()).unwrap(), Instant::now());
    assert_eq!(admitted(&policy, |_| 1, |_| v4(1 << 30), now), AT_ONCE);
    assert_eq!(ask(&policy, Operation::GetProviders, 1, v4(1 << 30), &load(30), now), Verdict::Admit);
    for operation in [Operation::FindNode, Operation::Ping] {
        assert_eq!(ask(&policy, operation, 1, v4(1 << 30), &load(100), now), Verdict::Admit);
    }
}

#[test]
fn a_share_comes_back_as_its_use_decays() {
    let (policy, start) = (Fair::new(fixed()).unwrap(), Instant::now());
    assert_eq!(admitted(&policy, |_| 1, |_| v4(1 << 30), start), AT_ONCE);
    let half_life = Duration::from_nanos(64 << 24);
    let half = admitted(&policy, |_| 1, |_| v4(1 << 30), start + half_life);
    assert!((76..=78).contains(&half), "{half} after half a life");
    // At the limit, the rate is the share.
    let second = (1..=100).map(|step| start + half_life + Duration::from_millis(10 * step));
    let rate: usize = second.map(|now| admitted(&policy, |_| 1, |_| v4(1 << 30), now)).sum();
    assert!((92..=108).contains(&rate), "{rate} a second");
}

#[test]
fn the_share_falls_while_the_queue_stays_too_full_and_grows_again_without_pressure() {
    let (policy, start) = (Fair::new(Config::default()).unwrap(), Instant::now());
    let at = |ms: u64, percent| {
        let now = start + Duration::from_millis(ms);
        (0..100).for_each(|_| _ = ask(&policy, Operation::AddProvider, 1, v4(1 << 30), &load(percent), now));
        let held = Reading::of(Lane::Writes, &load(25), &Config::default());
        let (share, _) = policy.writes.at(policy.clock.read(now), &held, policy.settings.load().bounds);
        share.rate()
    };
    // 1,000 a second without pressure.
    (0..300).for_each(|step| _ = at(step * 100, 0));
    let shares: Vec<_> = (300..400).map(|step| at(step * 100, 60)).collect();
    assert!(shares[10] < 1_000 && shares.is_sorted_by(|one, next| one >= next), "{shares:?}");
    assert_eq!(shares.last(), Some(&10), "not below the lowest");
    let shares: Vec<_> = (400..500).map(|step| at(step * 100, 0)).collect();
    assert!(shares.is_sorted() && shares[99] > 1_000, "{shares:?}");
}

#[test]
fn reads_that_are_denied_cut_the_share_of_reads_which_grows_again() {
    let (policy, start) = (Fair::new(Config::default()).unwrap(), Instant::now());
    let at = |ms: u64, outcome: Outcome| {
        let now = start + Duration::from_millis(ms);
        let read = Request::new(Operation::GetProviders, peer(1), v4(1 << 30), 0, b"key");
        let judged: Vec<_> = (0..100).map(|_| policy.admit(&read, &load(0), now)).collect();
        judged.iter().for_each(|it| policy.settle(&read, it.token, &outcome, now));
        judged.iter().filter(|it| it.verdict == Verdict::Admit).count()
    };
    let took = Duration::from_millis(20);
    let (served, denied) = (Outcome::Served { rung: Rung::Full, took }, Outcome::NoPermit { took });
    assert!((0..50).all(|step| at(step * 100, served) == 100), "1,000 a second");
    let admitted: Vec<_> = (50..100).map(|step| at(step * 100, denied)).collect();
    assert!(admitted[40..].iter().sum::<usize>() < 500, "{admitted:?}");
    let admitted: Vec<_> = (100..400).map(|step| at(step * 100, served)).collect();
    assert_eq!(admitted[290..], [100; 10], "{admitted:?}");
}

#[test]
fn what_never_started_is_given_back_to_all_three_counts() {
    let (policy, now) = (Fair::new(fixed()).unwrap(), Instant::now());
    for number in 0..20_000 {
        let address = v4((1 << 30) | (number % 256));
        let request = Request::new(Operation::AddProvider, peer(number), address, 0, b"key");
        let judged = policy.admit(&request, &load(30), now);
        assert_eq!(judged.verdict, Verdict::Admit, "{number}");
        policy.settle(&request, judged.token, &Outcome::NeverStarted, now);
    }
    assert_eq!(admitted(&policy, |_| 1, |_| v4(1 << 30), now), AT_ONCE);
}

#[test]
fn a_changed_table_is_taken_up_whole_or_not_at_all() {
    let policy = Fair::new(fixed()).unwrap();
    for (table, key) in [
        (serde_json::json!({ "degrade_percent": 0 }), "degrade_percent"),
        (serde_json::json!({ "decline_percent": 101 }), "decline_percent"),
        (serde_json::json!({ "degrade_percent": 31 }), "degrade_percent"),
        (serde_json::json!({ "share_per_s_min": 200, "share_per_s_max": 100 }), "share_per_s_min"),
        (serde_json::json!({ "host_shares": 5 }), "host_shares"),
        (serde_json::json!({ "network_shares": 1_001 }), "network_shares"),
        (serde_json::json!({ "ipv4_network_bits": 33 }), "ipv4_network_bits"),
        (serde_json::json!({ "ipv4_host_bits": 16 }), "ipv4_network_bits"),
        (serde_json::json!({ "ipv6_host_bits": 40 }), "ipv6_network_bits"),
        (serde_json::json!({ "sources_max": 63 }), "sources_max"),
        (serde_json::json!({ "share": 1 }), "share"),
    ] {
        let ReconfigureError::Config(issue) = policy.reconfigure(table).unwrap_err() else { panic!("{key}") };
        assert_eq!(issue.key, key, "{issue}");
    }
    let sizes = policy.reconfigure(serde_json::json!({ "sources_max": 64 })).unwrap_err();
    assert_eq!(sizes, ReconfigureError::keys(["sources_max"]));
    let now = Instant::now();
    assert_eq!(admitted(&policy, |_| 1, |_| v4(1 << 30), now), AT_ONCE, "as before");
    let table = serde_json::json!({ "share_per_s_min": 200, "share_per_s_max": 200 });
    policy.reconfigure(table).unwrap();
    assert_eq!(admitted(&policy, |_| 2, |_| v4(1 << 31), now), 309);
}

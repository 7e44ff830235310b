use super::*;
use crate::config::{Node, Peer, Prefix};
use std::sync::atomic::AtomicBool;

/// Two configs that have no value in common.
fn configs() -> [Config; 2] {
    let first = Config {
        peer: Peer { enabled: true, rate_per_s: 1, burst: 1_000_000 },
        prefix: Prefix { enabled: false, rate_per_s: 1, burst: 1 },
        node: Node { enabled: true, rate_per_s: 1_000_000, burst: 1 },
        read_cost: 0,
        write_cost: 1_000_000,
        then: Then::Decline,
        loopback_exempt: true,
        ipv4_prefix_bits: 1,
        ipv6_prefix_bits: 128,
        ..Config::default()
    };
    let second = Config {
        peer: Peer { enabled: false, ..first.peer },
        prefix: Prefix { enabled: true, rate_per_s: 777, burst: 888 },
        node: Node { enabled: true, rate_per_s: 3, burst: 1_000_000 },
        read_cost: 1_000_000,
        write_cost: 0,
        then: Then::Degrade(Rung::RoutingOnly),
        loopback_exempt: false,
        ipv4_prefix_bits: 32,
        ipv6_prefix_bits: 1,
        ..Config::default()
    };
    [first, second]
}

fn shows(settings: &Settings, config: &Config) {
    let rate = |enabled, rate_per_s, burst| if enabled { Some(Rate::new(rate_per_s, burst)) } else { None };
    let Config { peer, prefix, node, .. } = *config;
    assert_eq!(settings.peer(), rate(peer.enabled, peer.rate_per_s, peer.burst));
    assert_eq!(settings.prefix(), rate(prefix.enabled, prefix.rate_per_s, prefix.burst));
    assert_eq!(settings.node(), rate(node.enabled, node.rate_per_s, node.burst));
    assert_eq!(settings.cost(Operation::GetValue), config.read_cost);
    assert_eq!(settings.cost(Operation::PutValue), config.write_cost);
    assert_eq!(settings.cost(Operation::FindNode), 0);
    assert_eq!(settings.then(), config.then);
    assert_eq!(settings.loopback_exempt(), config.loopback_exempt);
    assert_eq!(settings.ipv4_prefix_bits(), u32::from(config.ipv4_prefix_bits));
    assert_eq!(settings.ipv6_prefix_bits(), u32::from(config.ipv6_prefix_bits));
}

#[test]
fn every_value_is_read_as_it_was_set() {
    let [first, second] = configs();
    let shared = SharedSettings::new(&first);
    shows(&shared.read(), &first);
    shared.set(&second);
    shows(&shared.read(), &second);
    for then in Rung::ALL.map(Then::Degrade) {
        let config = Config { then, ..first.clone() };
        shared.set(&config);
        shows(&shared.read(), &config);
    }
}

#[test]
fn settings_are_found_by_their_mark_until_they_are_replaced_twice() {
    let [first, second] = configs();
    let shared = SharedSettings::new(&first);
    for _ in 0..70_000 {
        let mark = shared.read().mark();
        shared.set(&second);
        shows(&shared.marked(mark).unwrap(), &first);
        shared.set(&first);
        assert!(shared.marked(mark).is_none());
        shows(&shared.marked(shared.read().mark()).unwrap(), &first);
    }
}

#[test]
fn readers_see_the_old_settings_or_the_new_ones() {
    let configs = configs();
    let wholes = configs.each_ref().map(words);
    let (shared, over) = (SharedSettings::new(&configs[0]), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let read = shared.read();
                    assert!(wholes.contains(&read.words), "{read:?} is some of each");
                    assert_eq!(read.words, wholes[(read.change & 1) as usize]);
                    if let Some(again) = shared.marked(read.mark()) {
                        assert_eq!(again.words, read.words, "as they were at that mark");
                    }
                }
            });
        }
        for change in 1..200_000 {
            shared.set(&configs[change % 2]);
        }
        over.store(true, Ordering::Relaxed);
    });
}

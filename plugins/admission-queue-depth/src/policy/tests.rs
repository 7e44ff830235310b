use super::*;
use crate::config::{InFlight, Waiting, WriteQueue};
use hydra_api::PeerId;
use hydra_api::admission::Level;
use std::sync::atomic::AtomicBool;

fn load(write_queue: u32, waiting: u32, in_flight: u32) -> Load {
    let level = |used| Level { used, max: 100 };
    Load::new(level(write_queue), level(waiting), level(in_flight), Rung::Full)
}

fn verdict(config: Config, operation: Operation, load: Load) -> Verdict {
    let request = Request::new(operation, PeerId::new(b"peer").unwrap(), None, 0, b"key");
    QueueDepth::new(config).unwrap().admit(&request, &load, Instant::now()).verdict
}

#[test]
fn the_write_queue_judges_writes_and_the_gate_judges_reads() {
    let of = |operation, load| verdict(Config::default(), operation, load);
    let short = Verdict::Degrade(Rung::Short);
    for write in [Operation::AddProvider, Operation::PutValue] {
        assert_eq!(of(write, load(49, 100, 100)), Verdict::Admit);
        assert_eq!(of(write, load(50, 0, 0)), short);
        assert_eq!(of(write, load(90, 0, 0)), Verdict::Decline(WRITE_QUEUE));
    }
    for read in [Operation::GetProviders, Operation::GetValue] {
        assert_eq!(of(read, load(100, 49, 100)), Verdict::Admit, "a busy node uses all its permits");
        assert_eq!(of(read, load(0, 50, 0)), short);
        assert_eq!(of(read, load(0, 90, 0)), Verdict::Decline(WAITING));
    }
}

#[test]
fn permits_in_use_degrade_reads_where_the_config_says_so() {
    let in_flight = InFlight { degrade_percent: 100, ..InFlight::default() };
    let config = Config { in_flight, ..Config::default() };
    assert_eq!(verdict(config, Operation::GetProviders, load(0, 0, 99)), Verdict::Admit);
    assert_eq!(verdict(config, Operation::GetProviders, load(0, 0, 100)), Verdict::Degrade(Rung::Short));
    assert_eq!(verdict(config, Operation::AddProvider, load(0, 0, 100)), Verdict::Admit);
}

#[test]
fn find_node_and_ping_pass_whatever_the_levels() {
    let write_queue = WriteQueue { judges: Judges::Both, ..WriteQueue::default() };
    let config = Config {
        write_queue,
        waiting: Waiting { judges: Judges::Both, ..Waiting::default() },
        ..Config::default()
    };
    for operation in [Operation::FindNode, Operation::Ping] {
        assert_eq!(verdict(config, operation, load(100, 100, 100)), Verdict::Admit);
    }
}

#[test]
fn the_most_severe_queue_decides() {
    let waiting = Waiting { degrade_to: Rung::CacheOnly, ..Waiting::default() };
    let config = Config { waiting, ..Config::default() };
    let degraded = verdict(config, Operation::GetProviders, load(0, 60, 100));
    assert_eq!(degraded, Verdict::Degrade(Rung::CacheOnly));
}

#[test]
fn nought_is_never_and_nothing_is_not_looked_at() {
    let never = WriteQueue { degrade_percent: 0, decline_percent: 0, ..WriteQueue::default() };
    let config = Config { write_queue: never, ..Config::default() };
    assert_eq!(verdict(config, Operation::AddProvider, load(100, 0, 0)), Verdict::Admit);
    let nothing = InFlight { judges: Judges::Nothing, ..InFlight::default() };
    let config = Config { in_flight: nothing, ..Config::default() };
    assert_eq!(verdict(config, Operation::GetValue, load(0, 0, 100)), Verdict::Admit);
}

#[test]
fn a_queue_that_does_not_exist_has_no_say() {
    let none = Level { used: 0, max: 0 };
    let load = Load::new(none, none, none, Rung::Full);
    assert_eq!(verdict(Config::default(), Operation::GetProviders, load), Verdict::Admit);
}

#[test]
fn levels_out_of_order_or_out_of_bounds_are_refused_by_their_key() {
    let key = |config| match QueueDepth::new(config).unwrap_err().kind() {
        hydra_api::OpenErrorKind::Config { key } => key.clone(),
        other => panic!("{other:?}"),
    };
    let waiting = Waiting { degrade_percent: 95, ..Waiting::default() };
    assert_eq!(key(Config { waiting, ..Config::default() }), "waiting.degrade_percent");
    let write_queue = WriteQueue { decline_percent: 101, ..WriteQueue::default() };
    assert_eq!(key(Config { write_queue, ..Config::default() }), "write_queue.decline_percent");
}

#[test]
fn part_of_a_queue_keeps_the_defaults_of_the_rest() {
    let table = serde_json::json!({ "write_queue": { "decline_percent": 80 } });
    let config: Config = serde_json::from_value(table).unwrap();
    assert_eq!(config.write_queue, WriteQueue { decline_percent: 80, ..WriteQueue::default() });
    assert!(serde_json::from_value::<Config>(serde_json::json!({ "write_queue": { "x": 1 } })).is_err());
}

#[test]
fn levels_are_unpacked_as_they_were_packed() {
    let queue = |judges, degrade_to, degrade_percent, decline_percent| Levels {
        judges,
        degrade_percent,
        degrade_to,
        decline_percent,
    };
    for judges in Judges::ALL {
        for rung in Rung::ALL {
            for percent in [0, 1, 64, 99, 100] {
                let [none, all] = [(0, 0), (100, 100)]
                    .map(|(degrade, decline)| queue(Judges::Both, Rung::Full, degrade, decline));
                let levels = queue(judges, rung, percent, 100 - percent);
                for queues in [[levels, none, all], [all, levels, none], [none, all, levels]] {
                    assert_eq!(unpack(pack(queues)), queues);
                }
            }
        }
    }
}

#[test]
fn a_changed_table_is_taken_up_whole_or_not_at_all() {
    let policy = QueueDepth::new(Config::default()).unwrap();
    let request = Request::new(Operation::AddProvider, PeerId::new(b"peer").unwrap(), None, 0, b"key");
    let at = |percent| policy.admit(&request, &load(percent, 0, 0), Instant::now()).verdict;
    assert_eq!(at(85), Verdict::Degrade(Rung::Short));
    let table = serde_json::json!({ "write_queue": { "decline_percent": 80, "degrade_percent": 20 } });
    policy.reconfigure(table).unwrap();
    let new = [Verdict::Admit, Verdict::Degrade(Rung::Short), Verdict::Decline(WRITE_QUEUE)];
    assert_eq!([at(19), at(20), at(80)], new);
    for (table, key) in [
        (serde_json::json!({ "write_queue": { "decline_percent": 101 } }), "write_queue.decline_percent"),
        (serde_json::json!({ "in_flight": { "degrade_percent": 101 } }), "in_flight.degrade_percent"),
        (serde_json::json!({ "waiting": { "decline_percent": 10 } }), "waiting.degrade_percent"),
        (serde_json::json!({ "waiting": { "x": 1 } }), "waiting.x"),
        (serde_json::json!({ "ring": {} }), "ring"),
    ] {
        let ReconfigureError::Config(issue) = policy.reconfigure(table).unwrap_err() else { panic!("{key}") };
        assert_eq!(issue.key, key, "{issue}");
        assert_eq!([at(19), at(20), at(80)], new, "as before");
    }
}

/// By either table one of the two queues declines a write under this load; by the first queue of one and the second of
/// the other, none does.
#[test]
fn a_request_is_judged_by_the_old_table_or_the_new_one() {
    let table = |write_queue: &str, waiting: &str| serde_json::json!({ "write_queue": { "judges": write_queue }, "waiting": { "judges": waiting } });
    let tables = [table("writes", "nothing"), table("nothing", "both")];
    let (policy, over) = (QueueDepth::new(Config::default()).unwrap(), AtomicBool::new(false));
    policy.reconfigure(tables[0].clone()).unwrap();
    let request = Request::new(Operation::AddProvider, PeerId::new(b"peer").unwrap(), None, 0, b"key");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let judged = policy.admit(&request, &load(100, 100, 0), Instant::now());
                    assert!(matches!(judged.verdict, Verdict::Decline(_)), "{judged:?}");
                }
            });
        }
        for round in 0..20_000 {
            policy.reconfigure(tables[round % 2].clone()).unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
}

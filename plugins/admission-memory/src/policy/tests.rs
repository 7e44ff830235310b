use super::*;
use crate::config::Judges;
use hydra_api::{Operation, PeerId, Rung};
use std::fs;
use std::time::Duration;
use tempfile::TempDir;

/// A control group of 1,000 bytes, of which the process uses some.
struct Group(TempDir);

impl Group {
    fn new(used: u32) -> Self {
        let root = TempDir::new().unwrap();
        for folder in ["proc/self", "sys/fs/cgroup"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join("proc/self/cgroup"), "0::/\n").unwrap();
        fs::write(root.path().join("sys/fs/cgroup/memory.max"), "1000\n").unwrap();
        let group = Self(root);
        group.uses(used);
        group
    }

    fn uses(&self, used: u32) {
        fs::write(self.0.path().join("sys/fs/cgroup/memory.current"), format!("{used}\n")).unwrap();
    }

    fn policy(&self, config: Config) -> Memory {
        Memory::below(self.0.path(), config).unwrap()
    }
}

fn verdict(policy: &Memory, operation: Operation) -> Verdict {
    let request = Request::new(operation, PeerId::new(b"peer").unwrap(), None, 0, b"key");
    policy.admit(&request, &Load::IDLE, Instant::now()).verdict
}

const READ: Operation = Operation::GetProviders;
const STALE: Verdict = Verdict::Degrade(Rung::Stale);

#[test]
fn memory_degrades_declines_and_recovers_some_way_below() {
    let group = Group::new(849);
    let policy = group.policy(Config::default());
    let mut at = |used| {
        group.uses(used);
        policy.measure();
        verdict(&policy, READ)
    };
    let decline = Verdict::Decline(LIMIT);
    assert_eq!([849, 850, 801, 949, 950].map(&mut at), [Verdict::Admit, STALE, STALE, STALE, decline]);
    assert_eq!(
        [901, 899, 949, 799, 849].map(&mut at),
        [decline, STALE, STALE, Verdict::Admit, Verdict::Admit]
    );
}

#[test]
fn it_has_measured_when_it_is_opened() {
    assert_eq!(verdict(&Group::new(960).policy(Config::default()), READ), Verdict::Decline(LIMIT));
}

#[test]
fn only_what_is_judged_is_limited_and_what_needs_no_store_never() {
    let all = [
        READ,
        Operation::GetValue,
        Operation::AddProvider,
        Operation::PutValue,
        Operation::FindNode,
        Operation::Ping,
    ];
    let declined = |judges| {
        let policy = Group::new(960).policy(Config { judges, ..Config::default() });
        all.map(|operation| verdict(&policy, operation) != Verdict::Admit)
    };
    assert_eq!(declined(Judges::Both), [true, true, true, true, false, false]);
    assert_eq!(declined(Judges::Reads), [true, true, false, false, false, false]);
    assert_eq!(declined(Judges::Writes), [false, false, true, true, false, false]);
}

#[test]
fn memory_that_cannot_be_measured_limits_nobody() {
    let group = Group::new(960);
    let policy = group.policy(Config::default());
    fs::remove_file(group.0.path().join("sys/fs/cgroup/memory.current")).unwrap();
    policy.measure();
    assert_eq!(verdict(&policy, READ), Verdict::Admit);
    group.uses(960);
    policy.measure();
    assert_eq!(verdict(&policy, READ), Verdict::Decline(LIMIT));
}

#[test]
fn a_thread_measures_while_the_policy_is_there() {
    let group = Group::new(0);
    let policy = group.policy(Config::default()).watched().unwrap();
    let state = Arc::downgrade(&policy.state);
    group.uses(960);
    let until = |holds: &dyn Fn() -> bool| {
        (0..1_000).any(|_| {
            holds() || {
                std::thread::sleep(Duration::from_millis(20));
                false
            }
        })
    };
    assert!(until(&|| verdict(&policy, READ) == Verdict::Decline(LIMIT)), "it has not measured");
    drop(policy);
    assert!(until(&|| state.strong_count() == 0), "the thread keeps what it measures for");
}

#[test]
fn a_changed_table_is_taken_up_whole_or_not_at_all() {
    let group = Group::new(900);
    let policy = group.policy(Config::default());
    assert_eq!(verdict(&policy, READ), STALE);
    policy.reconfigure(serde_json::json!({ "hard_percent": 90, "degrade_to": "short" })).unwrap();
    assert_eq!(verdict(&policy, READ), Verdict::Decline(LIMIT));
    for (table, key) in [
        (serde_json::json!({ "soft_percent": 0 }), "soft_percent"),
        (serde_json::json!({ "soft_percent": 96 }), "soft_percent"),
        (serde_json::json!({ "hard_percent": 101 }), "hard_percent"),
        (serde_json::json!({ "recover_percent": 51 }), "recover_percent"),
        (serde_json::json!({ "interval_ms": 99 }), "interval_ms"),
        (serde_json::json!({ "limit_mib": 1 << 25 }), "limit_mib"),
        (serde_json::json!({ "soft": 1 }), "soft"),
    ] {
        let ReconfigureError::Config(issue) = policy.reconfigure(table).unwrap_err() else { panic!("{key}") };
        assert_eq!(issue.key, key, "{issue}");
        assert_eq!(verdict(&policy, READ), Verdict::Decline(LIMIT), "as before");
    }
    policy.reconfigure(serde_json::json!({ "soft_percent": 91 })).unwrap();
    // It was in force and has not fallen far enough.
    assert_eq!(verdict(&policy, READ), Verdict::Decline(LIMIT));
    group.uses(850);
    policy.measure();
    assert_eq!(verdict(&policy, READ), Verdict::Admit);
}

use super::*;
use crate::config::{Providers, Reads};
use hydra_api::{PeerId, Rung};
use std::time::Duration;

const DEGRADED: Verdict = Verdict::Degrade(Rung::CacheOnly);
const FROM_CACHE: Outcome = Outcome::Served { rung: Rung::Full, took: Duration::ZERO };
const FROM_STORE: Outcome = Outcome::Served { rung: Rung::Full, took: Duration::from_millis(5) };

fn peer(number: u32) -> PeerId {
    let mut bytes = [7; 38];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    PeerId::new(&bytes).unwrap()
}

fn policy(config: Config) -> HotKey {
    HotKey::new(config).unwrap()
}

/// A policy and a moment.
struct Asked {
    policy: HotKey,
    now: Instant,
}

impl Asked {
    fn new(config: Config) -> Self {
        Self { policy: policy(config), now: Instant::now() }
    }

    fn ask(&self, operation: Operation, key: &[u8], number: u32, outcome: Option<Outcome>) -> Verdict {
        let request = Request::new(operation, peer(number), None, 0, key);
        let judged = self.policy.admit(&request, &Load::IDLE, self.now);
        if let (Some(outcome), false) = (outcome, matches!(judged.verdict, Verdict::Decline(_))) {
            self.policy.settle(&request, judged.token, &outcome, self.now);
        }
        judged.verdict
    }

    fn read(&self, key: &[u8], outcome: Outcome) -> Verdict {
        self.ask(Operation::GetProviders, key, 1, Some(outcome))
    }

    fn announce(&self, key: &[u8], number: u32) -> Verdict {
        self.ask(Operation::AddProvider, key, number, Some(FROM_CACHE))
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Makes a key hot with reads that the cache answers.
    fn heat(&self, key: &[u8]) {
        (0..1_000).for_each(|_| _ = self.read(key, FROM_CACHE));
    }
}

#[test]
fn a_hot_key_asks_the_store_now_and_then_and_others_as_they_like() {
    let mut asked = Asked::new(Config::default());
    asked.heat(b"hot");
    assert_eq!(asked.read(b"hot", FROM_CACHE), Verdict::Admit, "what the cache answers is not limited");
    let admitted = (0..100).filter(|_| asked.read(b"hot", FROM_STORE) == Verdict::Admit).count();
    assert_eq!(admitted, 3);
    assert_eq!(asked.read(b"hot", FROM_STORE), DEGRADED);
    assert!((0..70).all(|_| asked.read(b"other", FROM_STORE) == Verdict::Admit), "it is not hot");
    asked.wait(1);
    asked.heat(b"hot");
    let admitted = (0..100).filter(|_| asked.read(b"hot", FROM_STORE) == Verdict::Admit).count();
    assert!((1..=2).contains(&admitted), "{admitted} in the next second");
    asked.wait(60);
    assert!((0..70).all(|_| asked.read(b"hot", FROM_STORE) == Verdict::Admit), "it is no longer hot");
}

#[test]
fn reads_that_never_started_make_no_key_hot() {
    let asked = Asked::new(Config::default());
    assert!((0..10_000).all(|_| asked.read(b"key", Outcome::NeverStarted) == Verdict::Admit));
    asked.heat(b"hot");
    let mut verdicts = (0..10_000).map(|_| asked.read(b"hot", Outcome::NeverStarted));
    assert!(verdicts.all(|verdict| verdict == Verdict::Admit), "it has asked for nothing");
}

#[test]
fn new_providers_of_one_key_are_limited_and_known_ones_pass() {
    let mut asked = Asked::new(Config::default());
    let taken: Vec<u32> = (0..2_000).filter(|it| asked.announce(b"hot", *it) == Verdict::Admit).collect();
    assert_eq!(taken.len(), 440);
    assert_eq!(asked.announce(b"hot", 5_000), Verdict::Decline(NEW_PROVIDERS));
    assert_eq!(asked.announce(b"other", 5_000), Verdict::Admit);
    // Those that came before the key had many are not remembered.
    let refreshed = taken.iter().filter(|it| asked.announce(b"hot", **it) == Verdict::Admit).count();
    assert!(refreshed >= taken.len() * 85 / 100, "{refreshed}");
    asked.wait(3_600);
    let taken = (10_000..20_000).filter(|it| asked.announce(b"hot", *it) == Verdict::Admit).count();
    assert!((350..=440).contains(&taken), "{taken} an hour later");
}

#[test]
fn what_was_not_taken_is_not_known() {
    let asked = Asked::new(Config::default());
    (0..100).for_each(|it| _ = asked.announce(b"hot", it));
    asked.ask(Operation::AddProvider, b"hot", 1_000, Some(Outcome::Shed));
    assert!(!asked.policy.known.has(b"hot", &peer(1_000)));
    asked.announce(b"hot", 1_001);
    assert!(asked.policy.known.has(b"hot", &peer(1_001)));
}

#[test]
fn other_operations_and_parts_that_are_switched_off_pass() {
    let off = Config {
        reads: Reads { enabled: false, ..Reads::default() },
        providers: Providers { enabled: false, ..Providers::default() },
        ..Config::default()
    };
    let (on, off) = (Asked::new(Config::default()), Asked::new(off));
    for operation in Operation::ALL {
        let all_pass =
            |asked: &Asked| (0..2_000).all(|it| asked.ask(operation, b"hot", it, None) == Verdict::Admit);
        assert!(all_pass(&off), "{operation:?}");
        let is_judged = matches!(operation, Operation::GetProviders | Operation::AddProvider);
        assert_eq!(all_pass(&on), !is_judged, "{operation:?}");
    }
}

#[test]
fn a_changed_table_is_taken_up_whole_or_not_at_all() {
    let asked = Asked::new(Config::default());
    let refused = |table| match asked.policy.reconfigure(table).unwrap_err() {
        ReconfigureError::Config(issue) => issue.key,
        ReconfigureError::NeedsRestart { keys } => keys.join(" "),
        _ => String::new(),
    };
    for (table, key) in [
        (serde_json::json!({ "reads": { "hot_per_s": 0 } }), "reads.hot_per_s"),
        (serde_json::json!({ "reads": { "uncached_per_s_max": 0 } }), "reads.uncached_per_s_max"),
        (serde_json::json!({ "providers": { "new_per_hour_max": 9 } }), "providers.new_per_hour_max"),
        (serde_json::json!({ "known_max": 1 << 25 }), "known_max"),
        (serde_json::json!({ "keys_max": 63 }), "keys_max"),
        (serde_json::json!({ "keys_max": 64, "known_max": 64 }), "keys_max known_max"),
        (serde_json::json!({ "reads": { "hot": 1 } }), "reads.hot"),
    ] {
        assert_eq!(refused(table), key);
    }
    assert_eq!((0..1_000).filter(|it| asked.announce(b"one", *it) == Verdict::Admit).count(), 440);
    asked.policy.reconfigure(serde_json::json!({ "providers": { "new_per_hour_max": 100 } })).unwrap();
    assert_eq!((0..1_000).filter(|it| asked.announce(b"two", *it) == Verdict::Admit).count(), 44);
}

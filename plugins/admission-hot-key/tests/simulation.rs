//! What a hot key costs the store, on virtual time and with fixed seeds.
//!
//! The engine is a model of hydra's: one flight for equal keys, and a cache. The cache alone keeps a hot key from the
//! store; the policy does where there is none or its answers may be given for a short time only.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "a simulation says what it has found")]

use hydra_admission_hot_key::{Config, HotKey};
use hydra_api::{AdmissionPolicy, Load, Operation, Outcome, PeerId, Request, Rung, Verdict};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const RUN_MS: u64 = 60_000;
const READS_PER_MS: u64 = 2;
/// Keys that others ask for.
const KEYS: u64 = 5_000;
const HOT: u64 = u64::MAX;
/// How long an answer may be given on the rung "cache_only".
const STALE_MS: u64 = 600_000;

/// The same numbers each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// What the store was asked for the hot key in a second, after the first one, and the answered part of all reads.
#[derive(Debug)]
struct Figures {
    hot_statements_per_s: f64,
    hot_answered: f64,
    others_answered: f64,
    others_degraded: u64,
}

struct Sim {
    policy: Option<HotKey>,
    chance: Chance,
    start: Instant,
    fresh_ms: u64,
    latency_ms: u64,
    /// When each key was last answered by the store.
    cache: HashMap<u64, u64>,
    /// When the flight of a key lands, and the reads that wait for it.
    flights: HashMap<u64, (u64, Vec<Judged>)>,
    hot: (u64, u64),
    others: (u64, u64),
    statements: u64,
    others_degraded: u64,
}

#[derive(Clone, Copy)]
struct Judged {
    peer: PeerId,
    token: hydra_api::Token,
    asked_ms: u64,
}

impl Sim {
    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn settle(&self, key: u64, judged: &Judged, ms: u64) {
        let took = Duration::from_millis(ms - judged.asked_ms);
        let bytes = key.to_be_bytes();
        let request = Request::new(Operation::GetProviders, judged.peer, None, 0, &bytes);
        if let Some(policy) = &self.policy {
            policy.settle(&request, judged.token, &Outcome::Served { rung: Rung::Full, took }, self.at(ms));
        }
    }

    fn answered(&mut self, key: u64, number: u64) {
        let count = if key == HOT { &mut self.hot } else { &mut self.others };
        count.1 += number;
    }

    fn read(&mut self, key: u64, ms: u64) {
        let count = if key == HOT { &mut self.hot } else { &mut self.others };
        count.0 += 1;
        let mut peer = [7; 38];
        peer[..8].copy_from_slice(&self.chance.below(10_000).to_be_bytes());
        let (peer, bytes) = (PeerId::new(&peer).unwrap(), key.to_be_bytes());
        let request = Request::new(Operation::GetProviders, peer, None, 0, &bytes);
        let judgement = self.policy.as_ref().map(|it| it.admit(&request, &Load::IDLE, self.at(ms)));
        let (verdict, token) =
            judgement.map_or((Verdict::Admit, hydra_api::Token(0)), |it| (it.verdict, it.token));
        let judged = Judged { peer, token, asked_ms: ms };
        let degraded = verdict != Verdict::Admit;
        let life = if degraded { STALE_MS.max(self.fresh_ms) } else { self.fresh_ms };
        let age = self.cache.get(&key).map(|at| ms - at);
        if age.is_some_and(|age| age < life) {
            self.answered(key, 1);
            return self.settle(key, &judged, ms);
        }
        if degraded {
            self.others_degraded += u64::from(key != HOT);
            return self.settle(key, &judged, ms);
        }
        if let Some((_, waiting)) = self.flights.get_mut(&key) {
            waiting.push(judged);
        } else {
            self.statements += u64::from(key == HOT && ms >= 1_000);
            self.flights.insert(key, (ms + self.latency_ms, vec![judged]));
        }
    }

    fn land(&mut self, ms: u64) {
        let landed: Vec<u64> =
            self.flights.iter().filter(|(_, (at, _))| *at <= ms).map(|(key, _)| *key).collect();
        for key in landed {
            let Some((_, waiting)) = self.flights.remove(&key) else { continue };
            self.cache.insert(key, ms);
            waiting.iter().for_each(|judged| self.settle(key, judged, ms));
            self.answered(key, waiting.len() as u64);
        }
    }
}

/// 80 % of the reads are for one key.
fn run(policy: Option<Config>, fresh_ms: u64, latency_ms: u64) -> Figures {
    let mut sim = Sim {
        policy: policy.map(|config| HotKey::new(config).unwrap()),
        chance: Chance(42),
        start: Instant::now(),
        fresh_ms,
        latency_ms,
        cache: HashMap::new(),
        flights: HashMap::new(),
        hot: (0, 0),
        others: (0, 0),
        statements: 0,
        others_degraded: 0,
    };
    for ms in 0..RUN_MS {
        sim.land(ms);
        for _ in 0..READS_PER_MS {
            let key = if sim.chance.below(5) < 4 { HOT } else { sim.chance.below(KEYS) };
            sim.read(key, ms);
        }
    }
    sim.land(RUN_MS + latency_ms);
    Figures {
        hot_statements_per_s: sim.statements as f64 * 1_000.0 / (RUN_MS - 1_000) as f64,
        hot_answered: sim.hot.1 as f64 / sim.hot.0 as f64,
        others_answered: sim.others.1 as f64 / sim.others.0 as f64,
        others_degraded: sim.others_degraded,
    }
}

#[test]
fn reads_of_a_hot_key_cost_two_statements_a_second_at_most() {
    for (fresh_ms, latency_ms) in [(30_000, 5), (500, 5), (0, 5), (0, 50), (100, 250)] {
        let (with, without) =
            (run(Some(Config::default()), fresh_ms, latency_ms), run(None, fresh_ms, latency_ms));
        println!(
            "answers fresh for {fresh_ms} ms, a store of {latency_ms} ms: {with:?}; without the policy: {without:?}"
        );
        assert!(with.hot_statements_per_s <= 2.0, "{with:?}");
        assert!(with.hot_answered > 0.99, "{with:?}");
        assert!(with.others_answered > 0.999 && with.others_degraded == 0, "{with:?}");
    }
}

#[test]
fn with_a_cache_the_policy_changes_nothing() {
    let (with, without) = (run(Some(Config::default()), 30_000, 5), run(None, 30_000, 5));
    assert_eq!(with.hot_statements_per_s, without.hot_statements_per_s);
    assert_eq!(with.hot_answered, without.hot_answered);
}

/// 30,000 providers announce one key every 22 hours, and 100,000 others once each.
#[test]
fn a_hot_key_gets_few_new_providers_while_known_ones_are_refreshed() {
    const KNOWN: u64 = 30_000;
    const DAY_MS: u64 = 22 * 3_600_000;
    let policy = HotKey::new(Config { known_max: 65_536, ..Config::default() }).unwrap();
    let (start, key) = (Instant::now(), [7; 34]);
    let announce = |number: u64, ms: u64| {
        let mut peer = [7; 38];
        peer[..8].copy_from_slice(&number.to_be_bytes());
        let peer = PeerId::new(&peer).unwrap();
        let request = Request::new(Operation::AddProvider, peer, None, 0, &key);
        let now = start + Duration::from_millis(ms);
        let judged = policy.admit(&request, &Load::IDLE, now);
        let taken = !matches!(judged.verdict, Verdict::Decline(_));
        if taken {
            policy.settle(
                &request,
                judged.token,
                &Outcome::Served { rung: Rung::Full, took: Duration::ZERO },
                now,
            );
        }
        taken
    };
    let mut chance = Chance(7);
    // Four rounds of those that stay, and in the last one a flood of others.
    let mut rounds = [0_u64; 4];
    let mut flood = 0_u64;
    for (round, refreshed) in rounds.iter_mut().enumerate() {
        for number in 0..KNOWN {
            let ms = round as u64 * DAY_MS + number * DAY_MS / KNOWN;
            *refreshed += u64::from(announce(number, ms));
            for _ in 0..(if round == 3 { 3 } else { 0 }) {
                flood += u64::from(announce(1_000_000 + chance.below(1 << 40), ms));
            }
        }
    }
    let taken = rounds.map(|taken| 100.0 * taken as f64 / KNOWN as f64);
    println!("of 30,000 providers are taken, by round: {taken:.1?} %; of 90,000 others in 22 hours {flood}");
    assert!(taken[2] > 90.0 && taken[3] > 85.0, "{taken:?}");
    assert!(flood <= 22 * 1_000 + 440, "{flood}");
}

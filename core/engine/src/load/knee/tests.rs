//! The controller over model stores, on virtual time: what it reaches of the best fixed limit.

mod model;

use super::sample::Sample;
use super::{Knee, PermitState, Settings, Tick, Work};
use model::{Dice, Kind, Load, Model, TICK};
use std::time::Duration;

/// Seeds of every simulation, and one more by chance.
const SEEDS: u64 = 200;

fn settings() -> Settings {
    Settings {
        start: 64,
        ceilings: [Duration::from_millis(25), Duration::from_millis(500)],
        stall: Duration::from_millis(250),
        probe: Duration::from_millis(300),
        rise: 0.1,
        turn: Duration::from_millis(500),
        rest: [Duration::from_secs(2), Duration::from_secs(60)],
    }
}

fn trace() -> bool {
    static T: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *T.get_or_init(|| std::env::var("ONLY").is_ok())
}
/// Every seed, in threads.
fn for_seeds(count: u64, run: impl Fn(u64) -> Result<(), String> + Sync) {
    if let Ok(only) = std::env::var("ONLY") {
        run(only.parse().unwrap()).unwrap();
        return;
    }
    let chance = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let chance = chance.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
    println!("TEST_SEED={chance}");
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let failed: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                let run = &run;
                let seeds = (0..=count).filter(move |seed| seed % threads == thread);
                scope.spawn(move || {
                    let seeds = seeds.map(|seed| if seed == count { chance } else { seed });
                    seeds
                        .filter_map(|seed| run(seed).err().map(|why| format!("seed {seed}: {why}")))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "{} of {}: {:#?}", failed.len(), count + 1, &failed[..failed.len().min(12)]);
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs the model under the controller for this long; the part of the best goodput that was reached.
fn run(model: &mut Model, knee: &mut Knee, bound: u32, time: Duration) -> f64 {
    let done = model.done;
    let mut elapsed = Duration::ZERO;
    while elapsed < time {
        let tick = model.tick(bound);
        model.limit = knee.tick(&tick);
        if trace() {
            println!(
                "{:7.1} {:?} L={} w={} fl={} ended={} slow={} rest={:?} brest={:?} lim={} pr={}",
                model.now_s(),
                knee.state(),
                model.limit,
                knee.wanted,
                tick.in_flight,
                tick.ended,
                tick.work[0].slow,
                knee.search,
                knee.brake_rest,
                tick.limited,
                tick.pressed
            );
        }
        elapsed += TICK;
    }
    (model.done - done) as f64 / time.as_secs_f64() / model.best(bound).1
}

#[test]
fn the_limit_settles_where_the_goodput_is_that_of_the_best_fixed_one() {
    for_seeds(SEEDS, |seed| {
        let mut dice = Dice(seed);
        let mut model = Model::random(&mut dice, seed);
        let bound = 8 + dice.below(120) as u32;
        let mut knee = Knee::new(settings());
        model.load = Load::times(2.0);
        let first = run(&mut model, &mut knee, bound, seconds(120));
        let reached = run(&mut model, &mut knee, bound, seconds(60));
        let best = model.best(bound).0;
        let what = format!(
            "{first:.3} {reached:.3} of the best; limit {} of {bound}, best {best}; {model:?}",
            model.limit
        );
        if reached >= 0.95 { Ok(()) } else { Err(what) }
    });
}

/// A store that becomes slower, under twice the load of before.
#[test]
fn the_limit_does_not_drift_while_the_store_is_slow_for_ten_minutes() {
    for_seeds(SEEDS, |seed| {
        let mut model = Model::random(&mut Dice(seed), seed);
        let mut knee = Knee::new(settings());
        let bound = 48;
        model.load = Load::times(2.0);
        run(&mut model, &mut knee, bound, seconds(120));
        model.slower = [2.0, 10.0, 50.0][seed as usize % 3];
        let mut minutes = Vec::new();
        for _ in 0..10 {
            let reached = run(&mut model, &mut knee, bound, seconds(60));
            minutes.push((model.limit, (reached * 1e3).round() / 1e3));
        }
        let mean = minutes[1..].iter().map(|(_, reached)| reached).sum::<f64>() / 9.0;
        let what = format!(
            "{mean:.3} slower {}: {minutes:?}; best {}; {model:?}",
            model.slower,
            model.best(bound).0
        );
        if mean >= 0.95 { Ok(()) } else { Err(what) }
    });
}

/// SIGSTOP and SIGCONT.
#[test]
fn a_frozen_store_gets_single_probes_and_is_served_again_within_two_seconds() {
    for_seeds(SEEDS, |seed| {
        let mut model = Model::random(&mut Dice(seed), seed);
        let mut knee = Knee::new(settings());
        let bound = 48;
        model.load = Load::times([0.8, 2.0][seed as usize % 2]);
        run(&mut model, &mut knee, bound, seconds(60));
        let before = run(&mut model, &mut knee, bound, seconds(20));
        let time = [1, 10, 60][seed as usize % 3];
        let (limit, started) = (knee.wanted.max(model.limit).min(bound), model.started);
        model.frozen = true;
        run(&mut model, &mut knee, bound, seconds(time));
        let (started, state) = (model.started - started, knee.state());
        model.frozen = false;
        let probes = time * 1_000 / 300 + 1;
        let what = format!("{limit} permits, {started} started in {time} s, {state:?}, {model:?}");
        if started > u64::from(limit) + probes {
            return Err(what);
        }
        run(&mut model, &mut knee, bound, seconds(2));
        let back = model.limit;
        let after = run(&mut model, &mut knee, bound, seconds(10));
        let what = format!("{what}; then {back}, {before:.3} before and {after:.3} after");
        if after >= before * 0.93 && knee.state() != PermitState::Stalled { Ok(()) } else { Err(what) }
    });
}

/// The store is fast, and the limit high as nothing has called for a lower one.
#[test]
fn after_a_burst_the_calls_are_below_the_ceiling_within_200_milliseconds() {
    for_seeds(SEEDS, |seed| {
        let mut dice = Dice(seed);
        let kind = Kind::Servers(4.0 + dice.below(12) as f64, 0.01 * dice.part());
        let mut model = Model::new(kind, 0.5 + 1.5 * dice.part(), seed);
        let mut knee = Knee::new(settings());
        let bound = 64 + dice.below(64) as u32;
        model.load = Load::times(0.8);
        run(&mut model, &mut knee, bound, seconds(10));
        model.load = Load::times(20.0);
        run(&mut model, &mut knee, bound, 2 * TICK);
        let mut took = Vec::new();
        for _ in 0..20 {
            run(&mut model, &mut knee, bound, TICK);
            took.append(&mut model.took);
        }
        took.sort_by(f64::total_cmp);
        let p99 = took[took.len() * 99 / 100] * 1e3;
        if p99 <= 50.0 { Ok(()) } else { Err(format!("{p99:.1} ms at {}, {model:?}", model.limit)) }
    });
}

/// A foreign client takes connections, and lets them go.
#[test]
fn the_limit_follows_the_bound_at_once() {
    let mut model = Model::new(Kind::Servers(16.0, 0.01), 5.0, 1);
    let mut knee = Knee::new(settings());
    model.load = Load::times(2.0);
    run(&mut model, &mut knee, 32, seconds(60));
    for bound in [4, 1, 9] {
        run(&mut model, &mut knee, bound, TICK);
        assert!(model.limit <= bound, "{} of {bound}", model.limit);
        let reached = run(&mut model, &mut knee, bound, seconds(60));
        assert!(model.limit <= bound && reached > 0.95, "{} of {bound}: {reached:.3}", model.limit);
    }
    run(&mut model, &mut knee, 32, seconds(60));
    let reached = run(&mut model, &mut knee, 32, seconds(30));
    assert!(reached > 0.95, "{} of 32: {reached:.3}", model.limit);
}

/// Whoever has nothing to do learns nothing.
#[test]
fn without_load_nothing_changes() {
    let mut knee = Knee::new(settings());
    let tick = Tick { elapsed: TICK, bound: 10, ..Tick::default() };
    assert!((0..10_000).all(|_| knee.tick(&tick) == 10 && knee.state() == PermitState::Held));
}

/// More reads and fewer writes, as much work as before.
#[test]
fn a_change_of_the_mixture_is_no_change_of_the_throughput() {
    let sample = |reads: u64, writes: u64| {
        let millis = Duration::from_millis;
        let reads = Work { calls: reads, items: reads * 32, busy: millis(reads * 2), slow: 0 };
        let writes = Work { calls: writes, items: writes * 512, busy: millis(writes * 20), slow: 0 };
        Sample::of(&Tick { elapsed: seconds(1), work: [reads, writes], ..Tick::default() })
    };
    let difference = sample(1_000, 100).compare(&sample(500, 150)).unwrap();
    assert!(difference.relative.abs() < 1e-9, "{difference:?}");
    let difference = sample(1_000, 100).compare(&sample(1_000, 50)).unwrap();
    assert!((difference.relative + 0.25).abs() < 1e-9, "{difference:?}");
    assert!(sample(0, 19).compare(&sample(100, 100)).is_none(), "too few calls");
}

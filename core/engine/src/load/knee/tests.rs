//! The controller over model stores, on virtual time: what it reaches of the best fixed limit.

mod model;

use super::sample::Sample;
use super::{Knee, PermitState, Settings, Tick, Work};
use crate::config::Permits;
use model::{Dice, Kind, Model, TICK};
use std::time::Duration;

/// Seeds of every simulation, and one more by chance.
const SEEDS: u64 = 200;

fn settings() -> Settings {
    Settings::of(&Permits::default())
}

/// Runs every seed, in threads: each says what part of the best it reached, and what happened. Every one must reach `least`, and
/// all of them on the average `mean`.
#[expect(clippy::print_stdout, reason = "a failure names its seed")]
fn for_seeds(least: f64, mean: f64, run: impl Fn(u64) -> (f64, String) + Sync) {
    let chance = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let chance = chance.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
    println!("TEST_SEED={chance}");
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let mut all: Vec<(f64, String)> = std::thread::scope(|scope| {
        let run = &run;
        let share = move |thread: u64| {
            let seeds = (0..=SEEDS).filter(|seed| seed % threads == thread);
            let seeds = seeds.map(|seed| if seed == SEEDS { chance } else { seed });
            let run = |seed| (run(seed), seed);
            seeds
                .map(run)
                .map(|((part, what), seed)| (part, format!("seed {seed}: {what}")))
                .collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || share(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    all.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let reached = all.iter().map(|(part, _)| part).sum::<f64>() / all.len() as f64;
    let [tenth, worst] = [&all[all.len() / 10], &all[0]];
    println!(
        "{reached:.3} on the average, a tenth below {:.3}, {:.3} at least: {}",
        tenth.0, worst.0, worst.1
    );
    assert!(worst.0 >= least, "{:#?}", all.iter().take(8).collect::<Vec<_>>());
    assert!(reached >= mean, "{reached:.3} on the average");
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs the model under the controller for this long; the part of the best goodput that was reached.
fn run(model: &mut Model, knee: &mut Knee, bound: u32, time: Duration) -> f64 {
    let done = model.done;
    for _ in 0..time.as_millis() / TICK.as_millis() {
        let tick = model.tick(bound);
        model.limit = knee.tick(&tick);
    }
    (model.done - done) as f64 / time.as_secs_f64() / model.best(bound).1
}

#[test]
fn the_limit_settles_where_the_goodput_is_that_of_the_best_fixed_one() {
    for_seeds(0.75, 0.97, |seed| {
        let mut dice = Dice(seed);
        let mut model = Model::random(&mut dice, seed);
        let bound = 8 + dice.below(120) as u32;
        let mut knee = Knee::new(settings());
        model.load = 2.0;
        run(&mut model, &mut knee, bound, seconds(120));
        let reached = run(&mut model, &mut knee, bound, seconds(60));
        let best = model.best(bound).0;
        (reached, format!("{reached:.3}; limit {} of {bound}, best {best}; {model:?}", model.limit))
    });
}

/// The part of the slowed capacity that is reached over ten minutes, under twice the load of before.
fn slow_for_ten_minutes(slower: f64, least: f64, mean: f64) {
    for_seeds(least, mean, |seed| {
        let mut model = Model::random(&mut Dice(seed), seed);
        let mut knee = Knee::new(settings());
        let bound = 48;
        model.load = 2.0;
        run(&mut model, &mut knee, bound, seconds(120));
        model.slower = slower;
        let mut minute = || {
            let reached = run(&mut model, &mut knee, bound, seconds(60));
            (model.limit, (reached * 1e3).round() / 1e3)
        };
        let minutes: Vec<_> = (0..10).map(|_| minute()).collect();
        let reached = minutes[1..].iter().map(|(_, reached)| reached).sum::<f64>() / 9.0;
        (reached, format!("{reached:.3}: {minutes:?}; best {}; {model:?}", model.best(bound).0))
    });
}

#[test]
fn a_store_that_is_twice_as_slow_for_ten_minutes_is_used_in_full() {
    slow_for_ten_minutes(2.0, 0.80, 0.97);
}

#[test]
fn a_store_that_is_ten_times_slower_for_ten_minutes_is_used_in_full() {
    slow_for_ten_minutes(10.0, 0.75, 0.96);
}

/// It ends some ten calls in a second, and some of them five: a minute shows little of what a limit is worth.
#[test]
fn a_store_that_is_fifty_times_slower_for_ten_minutes_is_used_in_full() {
    slow_for_ten_minutes(50.0, 0.65, 0.95);
}

/// SIGSTOP and SIGCONT.
#[test]
fn a_frozen_store_gets_single_probes_and_is_served_again_within_two_seconds() {
    for_seeds(0.65, 0.98, |seed| {
        let mut model = Model::random(&mut Dice(seed), seed);
        let mut knee = Knee::new(settings());
        let bound = 48;
        model.load = [0.8, 2.0][seed as usize % 2];
        run(&mut model, &mut knee, bound, seconds(60));
        let before = run(&mut model, &mut knee, bound, seconds(20));
        let time = [1, 10, 60][seed as usize % 3];
        let (limit, started) = (knee.wanted.max(model.limit).min(bound), model.started);
        model.frozen = true;
        run(&mut model, &mut knee, bound, seconds(time));
        let started = model.started - started;
        let what = format!("{limit} permits, {started} started in {time} s, {:?}, {model:?}", knee.state());
        assert!(started <= u64::from(limit) + time * 1_000 / 300 + 1, "seed {seed}: {what}");
        model.frozen = false;
        run(&mut model, &mut knee, bound, seconds(2));
        let (back, state) = (model.limit, knee.state());
        let after = run(&mut model, &mut knee, bound, seconds(10));
        let what = format!("{what}; then {back}, {before:.3} before and {after:.3} after");
        assert!(state != PermitState::Stalled, "seed {seed}: {what}");
        (after / before, what)
    });
}

/// The store is fast, and the limit high as nothing has called for a lower one.
#[test]
fn after_a_burst_the_calls_are_below_50_milliseconds_again_within_200() {
    for_seeds(1.0, 1.0, |seed| {
        let mut dice = Dice(seed);
        let kind = Kind::Servers(4.0 + dice.below(12) as f64, 0.01 * dice.part());
        let mut model = Model::new(kind, 0.5 + 1.5 * dice.part(), seed);
        let mut knee = Knee::new(settings());
        let bound = 64 + dice.below(64) as u32;
        model.load = 0.8;
        run(&mut model, &mut knee, bound, seconds(10));
        model.load = 20.0;
        run(&mut model, &mut knee, bound, 2 * TICK);
        let mut took = Vec::new();
        for _ in 0..20 {
            run(&mut model, &mut knee, bound, TICK);
            took.append(&mut model.took);
        }
        took.sort_by(f64::total_cmp);
        let p99 = took[took.len() * 99 / 100] * 1e3;
        (50.0 / p99, format!("{p99:.1} ms at {}, {model:?}", model.limit))
    });
}

/// A foreign client takes connections, and lets them go.
#[test]
fn the_limit_follows_the_bound_at_once() {
    let mut model = Model::new(Kind::Servers(16.0, 0.01), 5.0, 1);
    let mut knee = Knee::new(settings());
    model.load = 2.0;
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

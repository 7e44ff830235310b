//! The controller over model stores, on virtual time: what it reaches of the best fixed limit.

mod model;

use super::{Knee, PermitState, Settings, Tick, Work};
use model::{Dice, Kind, Load, Model, TICK};
use std::time::Duration;

/// Seeds of every simulation, and one more by chance.
const SEEDS: u64 = 200;

fn settings() -> Settings {
    Settings {
        start: 64,
        ceilings: [Duration::from_millis(50), Duration::from_millis(500)],
        stall: Duration::from_millis(250),
        probe: Duration::from_millis(300),
        rise: 0.1,
        turn: Duration::from_millis(300),
        rest: [Duration::from_secs(2), Duration::from_secs(60)],
    }
}

/// Every seed, in threads.
fn for_seeds(count: u64, run: impl Fn(u64) -> Result<(), String> + Sync) {
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
                    seeds.filter_map(|seed| run(seed).err().map(|why| format!("seed {seed}: {why}"))).collect::<Vec<_>>()
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
        if std::env::var("TRACE").is_ok() {
            println!("{:8.1} {:?} L={} fl={} lim={} pr={} r={:?}", model.now_s(), knee.state(), model.limit, tick.in_flight, tick.limited, tick.pressed, tick.work[0]);
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
        let first = run(&mut model, &mut knee, bound, seconds(60));
        let reached = run(&mut model, &mut knee, bound, seconds(60));
        let best = model.best(bound).0;
        let what = format!("{first:.3} {reached:.3} of the best; limit {} of {bound}, best {best}; {model:?}", model.limit);
        if reached >= 0.95 { Ok(()) } else { Err(what) }
    });
}

//! What requests see while a tick moves the rungs.

use super::*;
use crate::load::signals::{Calls, Demand};
use hydra_api::admission::Level;
use std::thread;

/// New nodes that climb while they tick: a few of them meet a tick at each of its steps.
const NODES: usize = 20_000;

const CALM: Pulse = Pulse {
    busy: false,
    released: 0,
    write_queue: Level { used: 0, max: 1 },
    waiting: Level { used: 0, max: 1 },
    paused: [false; 4],
    demand: Demand { wanted: 0, denied: 0, lost: 0, ended: 0, above: [0; 3], begun: 0 },
    writes: Calls { begun: 0, ended: 0 },
};

/// A request above the peak brings the node to full decline from that moment on, wherever a tick is just then: neither is
/// the climb forgotten at the end of the tick, nor is there a moment in which neither the request nor the rung says it.
#[test]
fn a_climb_between_two_steps_of_a_tick_is_not_missed() {
    let mut config = Config::default();
    config.peak.requests_per_second = 1;
    for node in 0..NODES {
        let (ladder, ends) = (Ladder::new(config.clone()), AtomicBool::new(false));
        thread::scope(|scope| {
            // No time passes, so that the node does not recover, and nothing is added to the peak.
            let ticking = scope.spawn(|| {
                while !ends.load(Ordering::Relaxed) {
                    ladder.tick(Duration::ZERO, &CALM);
                }
            });
            while ladder.record_write() == Rung::Full {}
            let seen = (0..2_000).find(|_| ladder.write_rung() != Rung::RoutingOnly);
            ends.store(true, Ordering::Relaxed);
            ticking.join().unwrap();
            assert_eq!((seen, ladder.write_rung()), (None, Rung::RoutingOnly), "node {node}");
        });
    }
}

/// What a rung needed of patience long ago is no part of the way back from another.
#[test]
fn full_is_back_within_ten_seconds_whatever_came_long_before() {
    let ladder = Ladder::new(Config::default());
    let mut released = 0u64;
    let mut tick = |pulse: Pulse, moves: bool| {
        released += u64::from(moves);
        ladder.tick(TICK, &Pulse { released, ..pulse });
    };
    let line = |percent| Pulse { waiting: Level { used: percent, max: 100 }, ..CALM };
    for percent in [Config::default().short.waiting_percent, 100] {
        for _ in 0..4 {
            (0..3).for_each(|_| tick(line(percent), true));
            while ladder.read_rung() != Rung::Full {
                tick(line(0), true);
            }
            tick(line(0), true);
        }
    }
    (0..36_000).for_each(|_| tick(CALM, true));
    // It freezes again each time that nothing is to be read from it is over.
    for _ in 0..4 {
        (0..12).for_each(|_| tick(Pulse { busy: true, ..CALM }, false));
        while ladder.read_rung() == Rung::CacheOnly {
            tick(CALM, true);
        }
    }
    (0..12).for_each(|_| tick(Pulse { busy: true, ..CALM }, false));
    let back = (0..).find(|_| {
        tick(CALM, true);
        ladder.read_rung() == Rung::Full
    });
    assert!(back.is_some_and(|ticks| ticks <= 100), "after {back:?} ticks");
}

//! A wall clock that jumps, as one does that a wrong time server or a resumed machine sets.

use crate::doubles::{START, Store, addresses, caller, key, millis, permits};
use hydra_api::UnixSeconds;
use hydra_engine::{Clock, Config, Engine};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// A clock that a test puts ahead, and the true time.
struct Wall {
    begun: Instant,
    ahead_s: Arc<AtomicU64>,
}

impl Wall {
    fn new() -> (Self, Clock) {
        let wall = Self { begun: Instant::now(), ahead_s: Arc::default() };
        let (begun, ahead_s) = (wall.begun, wall.ahead_s.clone());
        let read = move || {
            let ahead = u64::from(START.0) + ahead_s.load(Ordering::Relaxed);
            Duration::from_secs(ahead) + begun.elapsed()
        };
        (wall, Clock::with_wall(read))
    }

    /// Jumps; the engine has noticed when this returns.
    async fn jump(&self, ahead_s: u64) {
        self.ahead_s.store(ahead_s, Ordering::Relaxed);
        sleep(Duration::from_secs(1)).await;
    }

    fn true_date(&self) -> UnixSeconds {
        START.saturating_add(self.begun.elapsed())
    }
}

fn open(store: &Store, clock: Clock) -> Arc<Engine> {
    let config = Config { purge_interval_s: 60, ..permits(4) };
    Engine::open(store.named(), Vec::new(), config, clock, None)
}

#[tokio::test(start_paused = true)]
async fn what_a_jump_of_the_clock_makes_look_expired_is_not_purged() {
    let store = Store::new(4, 256);
    let (wall, clock) = Wall::new();
    let engine = open(&store, clock);
    engine.announce(caller(1), &key(1), || addresses(1)).unwrap();
    sleep(Duration::from_secs(600)).await;
    assert!(store.purges().len() >= 9, "it is purged: {:?}", store.purges());
    wall.jump(10 * DAY).await;
    let before = store.purges().len();
    sleep(Duration::from_secs(HOUR / 2)).await;
    let latest = *store.purges().last().unwrap();
    assert!(store.purges().len() > before && latest <= wall.true_date().saturating_add(millis(300_000)));
    assert!(engine.providers(caller(0), &key(1)).await.unwrap().providers().is_empty(), "by this clock");
    wall.jump(0).await;
    // What is cached of the time when it looked expired has to go.
    sleep(Duration::from_secs(60)).await;
    assert_eq!(engine.providers(caller(0), &key(1)).await.unwrap().providers().len(), 1);
    // A clock that goes evenly for an hour was set right.
    wall.jump(10 * DAY).await;
    sleep(Duration::from_secs(2 * HOUR)).await;
    assert!(*store.purges().last().unwrap() > wall.true_date().saturating_add(Duration::from_secs(9 * DAY)));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_announced_by_a_clock_far_ahead_lives_no_longer_than_others() {
    let store = Store::new(4, 256);
    let (wall, clock) = Wall::new();
    let engine = open(&store, clock);
    wall.jump(10 * DAY).await;
    engine.announce(caller(1), &key(1), || addresses(1)).unwrap();
    sleep(Duration::from_secs(1)).await;
    let written = store.batches()[0][0].expires;
    assert!(written > START.saturating_add(Duration::from_secs(11 * DAY)), "{written:?}");
    let stored = store.stored(&key(1), START);
    let latest = wall.true_date().saturating_add(millis(300_000));
    assert!(stored[0].addresses_at <= latest, "the store is given the date that is sure: {stored:?}");
    wall.jump(0).await;
    let found = engine.providers(caller(0), &key(1)).await.unwrap();
    let life = Duration::from_secs(u64::from(Config::RECORD_TTL_HOURS) * HOUR);
    assert_eq!(found.providers().len(), 1);
    assert!(found.providers()[0].expires <= wall.true_date().saturating_add(life));
    assert!(found.providers()[0].addresses_at <= wall.true_date());
}

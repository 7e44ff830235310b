//! A wall clock that jumps, as one does that a wrong time server or a resumed machine sets.

use crate::doubles::{Ledger, START, Store, addresses, caller, key, millis, permits};
use hydra_api::{Rung, UnixSeconds, Verdict};
use hydra_engine::{Clock, Config, Ending, Engine};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const HOUR: u64 = 3_600;
pub(crate) const DAY: u64 = 24 * HOUR;

/// A clock that a test puts ahead, and the true time.
pub(crate) struct Wall {
    begun: Instant,
    ahead_s: Arc<AtomicU64>,
}

impl Wall {
    pub(crate) fn new() -> (Self, Clock) {
        let wall = Self { begun: Instant::now(), ahead_s: Arc::default() };
        let (begun, ahead_s) = (wall.begun, wall.ahead_s.clone());
        let read = move || {
            let ahead = u64::from(START.0) + ahead_s.load(Ordering::Relaxed);
            Duration::from_secs(ahead) + begun.elapsed()
        };
        (wall, Clock::with_wall(read))
    }

    /// Jumps; the engine has noticed when this returns.
    pub(crate) async fn jump(&self, ahead_s: u64) {
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
    wall.jump(0).await;
    let found = engine.providers(caller(0), &key(1)).await.unwrap();
    let life = Duration::from_secs(u64::from(Config::RECORD_TTL_HOURS) * HOUR);
    assert_eq!(found.providers().len(), 1);
    assert!(found.providers()[0].expires <= wall.true_date().saturating_add(life));
    assert!(found.providers()[0].addresses_at <= wall.true_date());
}

/// Each read took the expiry for one of a whole life from now on, as long as the store had it: ten years.
#[tokio::test(start_paused = true)]
async fn a_record_of_a_clock_far_ahead_ends_once_the_clock_was_right_for_an_hour() {
    let store = Store::new(4, 256);
    let (wall, clock) = Wall::new();
    // A short life: the clock is looked at ten times in each of its seconds.
    let config = Config { purge_interval_s: 60, record_ttl_hours: 4, ..permits(4) };
    let engine = Engine::open(store.named(), Vec::new(), config, clock, None);
    let life = Duration::from_secs(4 * HOUR);
    wall.jump(3_650 * DAY).await;
    engine.announce(caller(1), &key(1), || addresses(1)).unwrap();
    sleep(Duration::from_secs(60)).await;
    wall.jump(0).await;
    sleep(Duration::from_secs(HOUR / 2)).await;
    let written = store.batches()[0][0].key;
    let expiry = async || store.kept(written, START).await[0].expires;
    assert!(
        expiry().await > wall.true_date().saturating_add(2 * life),
        "which clock is right is not known yet"
    );
    sleep(Duration::from_secs(HOUR)).await;
    let latest = wall.true_date().saturating_add(life + millis(300_000));
    let lowered = expiry().await;
    assert!(lowered <= latest && lowered > wall.true_date(), "{lowered:?}");
    sleep(Duration::from_secs(HOUR)).await;
    assert_eq!(expiry().await, lowered, "once for all");
    sleep(life).await;
    assert_eq!(engine.providers(caller(0), &key(1)).await.unwrap().providers().len(), 0);
    assert!(store.kept(written, START).await.is_empty(), "it is purged");
}

/// What a busy node remembers of it says that it lives for years, and its store has long made that a few hours.
#[tokio::test(start_paused = true)]
async fn a_record_of_a_clock_far_ahead_is_written_again_on_a_degraded_node_too() {
    let store = Store::new(4, 256);
    let (wall, clock) = Wall::new();
    let config = Config { purge_interval_s: 60, record_ttl_hours: 4, ..permits(4) };
    let busy = Ledger::new(|_, _| Verdict::Degrade(Rung::Stale));
    let engine = Engine::open(store.named(), vec![busy.named("busy")], config, clock, None);
    let announce = |number| engine.announce(caller(1), &key(number), || addresses(1)).unwrap();
    wall.jump(3_650 * DAY).await;
    assert_eq!(announce(1), Ending::Served);
    sleep(Duration::from_secs(60)).await;
    wall.jump(0).await;
    sleep(Duration::from_secs(3 * HOUR)).await;
    // The addresses that the provider has now.
    assert_eq!(announce(2), Ending::Served);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(announce(1), Ending::Served);
    assert_eq!(announce(2), Ending::Known, "this one is known");
    sleep(Duration::from_secs(3 * HOUR)).await;
    let written = store.batches()[0][0].key;
    assert_eq!(store.kept(written, wall.true_date()).await.len(), 1, "it was announced three hours ago");
}

/// A machine without a clock of its own begins in the past: nothing that it kept may end when its clock is set right.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_behind_at_the_start_shortens_no_record() {
    let store = Store::new(4, 256);
    let (wall, clock) = Wall::new();
    let engine = open(&store, clock);
    wall.jump(3_650 * DAY).await;
    engine.announce(caller(1), &key(1), || addresses(1)).unwrap();
    sleep(Duration::from_secs(60)).await;
    let written = store.batches()[0][0].clone();
    wall.jump(0).await;
    sleep(Duration::from_secs(HOUR / 2)).await;
    wall.jump(3_650 * DAY).await;
    sleep(Duration::from_secs(HOUR / 2)).await;
    assert_eq!(store.kept(written.key, START).await[0].expires, written.expires);
    assert_eq!(engine.providers(caller(0), &key(1)).await.unwrap().providers().len(), 1);
}

/// A clock that was behind for more than an hour, as that of a machine that found its time server late, is set right. The date of
/// the last purge before, to which expiries are lowered, was that of the wrong clock.
#[tokio::test(start_paused = true)]
async fn what_is_announced_after_a_clock_was_set_right_lives_as_long_as_any() {
    let store = Store::new(4, 256);
    let (wall, clock) = Wall::new();
    let engine = open(&store, clock);
    sleep(Duration::from_secs(2 * HOUR)).await;
    wall.jump(10 * DAY).await;
    assert_eq!(engine.announce(caller(1), &key(1), || addresses(1)), Ok(Ending::Served));
    sleep(Duration::from_secs(10)).await;
    let written = store.batches()[0][0].clone();
    // Past a few purges.
    sleep(Duration::from_secs(300)).await;
    let now = START.saturating_add(Duration::from_secs(10 * DAY + 2 * HOUR + 300));
    assert_eq!(
        store.kept(written.key, START).await[0].expires,
        written.expires,
        "nobody announced it under a clock ahead"
    );
    assert_eq!(store.kept(written.key, now).await.len(), 1);
    assert_eq!(engine.providers(caller(0), &key(1)).await.unwrap().providers().len(), 1);
}

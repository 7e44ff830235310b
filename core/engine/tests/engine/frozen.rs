//! A store that stops answering.

use crate::doubles::{Mood, Store, addresses, caller, key, millis, open, permits};
use hydra_api::Rung;
use hydra_engine::{Config, Ending};
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn a_frozen_store_leaves_every_request_answered_and_nothing_grows() {
    let store = Store::new(3, 256);
    let config = Config { write_queue_len_max: 1_000, waiting_len_max: 50, ..permits(3) };
    let engine = open(&store, vec![], config);
    sleep(millis(10)).await;
    store.set(Mood::Frozen);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut tasks_max = 0;
    for second in 0..60u64 {
        for number in 0..100 {
            let number = second * 100 + number;
            let engine = engine.clone();
            tokio::spawn(async move {
                let begun = Instant::now();
                let found = engine.providers(caller(number), &key(number)).await.unwrap();
                assert_ne!(found.ending, Ending::Served);
                assert!(begun.elapsed() <= millis(250), "answered within the soft deadline");
                engine.announce(caller(number), &key(number), || addresses(number)).unwrap();
            });
            sleep(millis(10)).await;
        }
        let load = engine.load();
        assert!(load.in_flight.used <= 3 && load.waiting.used <= 50 && load.write_queue.used <= 1_000);
        tasks_max = tasks_max.max(tasks());
    }
    // The background tasks with their supervisors, the statements, and the clients of the last quarter of a second.
    assert!(tasks_max <= 8 + 3 + 26, "{tasks_max} tasks");
    assert_eq!((store.running_max(), engine.rung()), (3, Rung::CacheOnly));
    assert_eq!(
        engine.stats().statements.started - engine.stats().statements.ended,
        3,
        "no call beyond the permits"
    );
    let health = engine.health();
    assert!(health.stalled.is_some_and(|still| still > Duration::from_secs(50)), "{health:?}");
    assert!(health.ticked <= millis(100) && health.background_runs, "the engine itself is well: {health:?}");

    let thawed = Instant::now();
    store.set(Mood::Takes(millis(1)));
    while engine.providers(caller(0), &key(0)).await.unwrap().ending != Ending::Served {
        sleep(millis(10)).await;
    }
    assert!(thawed.elapsed() <= Duration::from_secs(2), "recovered after {:?}", thawed.elapsed());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(engine.health().stalled, None);
    assert_eq!(
        (engine.load().write_queue.used, engine.load().in_flight.used),
        (0, 0),
        "all that waited is written"
    );
}

#[tokio::test(start_paused = true)]
async fn on_a_stalled_store_reads_do_not_wait_at_all() {
    let store = Store::new(1, 256);
    let engine = open(&store, vec![], permits(1));
    sleep(millis(10)).await;
    store.set(Mood::Frozen);
    assert_eq!(engine.providers(caller(0), &key(0)).await.unwrap().ending, Ending::Late);
    sleep(Duration::from_secs(2)).await;
    let begun = Instant::now();
    let found = engine.providers(caller(0), &key(1)).await.unwrap();
    assert_eq!((found.ending, found.rung), (Ending::Shed, Rung::CacheOnly));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_store_is_noticed_though_few_keys_are_asked_for() {
    let store = Store::new(8, 256);
    let engine = open(&store, vec![], permits(8));
    sleep(millis(10)).await;
    store.set(Mood::Frozen);
    let mut late = 0;
    for number in 0..40 {
        // Three keys, so that most permits stay free.
        let found = engine.providers(caller(number), &key(number % 3)).await.unwrap();
        late += u64::from(found.ending == Ending::Late);
        sleep(millis(100)).await;
    }
    assert!(late <= 6, "{late} of 40 reads waited for the soft deadline");
    assert_eq!(engine.rung(), Rung::Stale);
    store.set(Mood::Takes(millis(1)));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(engine.rung(), Rung::Full);
}

#[tokio::test(start_paused = true)]
async fn one_call_that_hangs_holds_no_rung_once_others_end() {
    let store = Store::new(8, 256);
    let engine = open(&store, vec![], permits(8));
    sleep(millis(10)).await;
    store.set(Mood::Takes(Duration::from_secs(3600)));
    assert_eq!(engine.providers(caller(0), &key(0)).await.unwrap().ending, Ending::Late);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(engine.rung(), Rung::Stale);
    // Of the calls that begin now; the first one hangs on.
    store.set(Mood::Takes(millis(1)));
    for number in 1..100 {
        engine.providers(caller(0), &key(number)).await.unwrap();
        sleep(millis(50)).await;
    }
    let found = engine.providers(caller(0), &key(1000)).await.unwrap();
    assert_eq!(
        (found.ending, engine.rung()),
        (Ending::Served, Rung::Full),
        "the others are read in full again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_that_moves_is_not_taken_for_a_stalled_one() {
    let store = Store::new(2, 256);
    let engine = open(&store, vec![], permits(2));
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(300)));
    for number in 0..500 {
        let engine = engine.clone();
        tokio::spawn(async move { engine.providers(caller(0), &key(number)).await });
        sleep(millis(10)).await;
    }
    assert!(engine.rung() < Rung::CacheOnly, "the store is still asked: {}", engine.rung());
}

#[tokio::test(start_paused = true)]
async fn the_watch_for_stalls_can_be_switched_off() {
    let store = Store::new(1, 256);
    let mut config = permits(1);
    config.peak.stall_ms = 0;
    let engine = open(&store, vec![], config);
    sleep(millis(10)).await;
    store.set(Mood::Frozen);
    assert_eq!(engine.providers(caller(0), &key(0)).await.unwrap().ending, Ending::Late);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(engine.providers(caller(0), &key(1)).await.unwrap().ending, Ending::NoPermit);
}

/// With permits left for reads nothing else says that no write has ended.
#[tokio::test(start_paused = true)]
async fn writes_that_do_not_end_are_noticed_though_reads_do() {
    let store = Store::new(8, 256);
    let engine = open(&store, vec![], permits(8));
    sleep(millis(10)).await;
    store.set_writes(Mood::Frozen);
    for number in 0..30 {
        engine.announce(caller(1), &key(number), || addresses(1)).unwrap();
        engine.providers(caller(2), &key(1_000 + number)).await.unwrap();
        sleep(millis(100)).await;
    }
    assert_eq!((engine.read_rung(), engine.write_rung()), (Rung::Full, Rung::Stale));
    assert_eq!(engine.rung_reasons(), ["", "the store has stalled"]);
    store.set_writes(Mood::Takes(millis(1)));
    sleep(Duration::from_secs(3)).await;
    assert_eq!((engine.write_rung(), engine.load().write_queue.used), (Rung::Full, 0));
}

/// A write that hangs holds no rung once others end.
#[tokio::test(start_paused = true)]
async fn one_write_that_hangs_holds_no_rung() {
    let store = Store::new(8, 256);
    let engine = open(&store, vec![], permits(8));
    sleep(millis(10)).await;
    store.set_writes(Mood::Frozen);
    engine.announce(caller(1), &key(0), || addresses(1)).unwrap();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(engine.write_rung(), Rung::Stale);
    store.hang_those_under_way();
    // A window waits 45 s for its inserts.
    for number in 1..600 {
        engine.announce(caller(1), &key(number), || addresses(1)).unwrap();
        sleep(millis(100)).await;
    }
    assert_eq!((engine.write_rung(), store.running()), (Rung::Full, 1));
}

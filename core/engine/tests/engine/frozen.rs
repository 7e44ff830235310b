//! A store that stops answering.

use crate::doubles::{Mood, Store, addresses, caller, key, millis, open, permits};
use hydra_api::{Operation, Rung};
use hydra_engine::{Config, Ended, Routing};
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn a_frozen_store_leaves_every_request_answered_and_nothing_grows() {
    let store = Store::new(3, 256);
    let config = Config { ring_len_max: 1_000, waiting_len_max: 50, ..permits(3) };
    let desk = open(&store, vec![], config);
    sleep(millis(10)).await;
    store.set(Mood::Frozen);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut tasks_max = 0;
    for second in 0..60u64 {
        for number in 0..100 {
            let number = second * 100 + number;
            let desk = desk.clone();
            tokio::spawn(async move {
                let begun = Instant::now();
                let found = desk.providers(caller(number), &key(number)).await.unwrap();
                assert_ne!(found.ended, Ended::Full);
                assert!(begun.elapsed() <= millis(250), "answered within the soft deadline");
                desk.announce(caller(number), &key(number), || addresses(number)).unwrap();
                let routing = desk.admit_routing(caller(number), Operation::FindNode, &key(number));
                assert_eq!(routing, Routing::Admitted);
            });
            sleep(millis(10)).await;
        }
        let load = desk.load();
        assert!(load.in_flight.used <= 3 && load.waiting.used <= 50 && load.ring.used <= 1_000);
        tasks_max = tasks_max.max(tasks());
    }
    // The chores with their supervisors, the statements, and the clients of the last quarter of a second.
    assert!(tasks_max <= 8 + 3 + 26, "{tasks_max} tasks");
    assert_eq!((store.running_max(), desk.rung()), (3, Rung::CacheOnly));
    assert_eq!(
        desk.stats().statements.started - desk.stats().statements.ended,
        3,
        "no call beyond the permits"
    );
    let health = desk.health();
    assert!(health.stalled.is_some_and(|still| still > Duration::from_secs(50)), "{health:?}");
    assert!(health.ticked <= millis(100) && health.chores_run, "the desk itself is well: {health:?}");

    let thawed = Instant::now();
    store.set(Mood::Takes(millis(1)));
    while desk.providers(caller(0), &key(0)).await.unwrap().ended != Ended::Full {
        sleep(millis(10)).await;
    }
    assert!(thawed.elapsed() <= Duration::from_secs(2), "recovered after {:?}", thawed.elapsed());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(desk.health().stalled, None);
    assert_eq!((desk.load().ring.used, desk.load().in_flight.used), (0, 0), "all that waited is written");
}

#[tokio::test(start_paused = true)]
async fn on_a_stalled_store_reads_do_not_wait_at_all() {
    let store = Store::new(1, 256);
    let desk = open(&store, vec![], permits(1));
    sleep(millis(10)).await;
    store.set(Mood::Frozen);
    assert_eq!(desk.providers(caller(0), &key(0)).await.unwrap().ended, Ended::Late);
    sleep(Duration::from_secs(2)).await;
    let begun = Instant::now();
    let found = desk.providers(caller(0), &key(1)).await.unwrap();
    assert_eq!((found.ended, found.rung), (Ended::Declined, Rung::CacheOnly));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_that_moves_is_not_taken_for_a_stalled_one() {
    let store = Store::new(2, 256);
    let desk = open(&store, vec![], permits(2));
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(300)));
    for number in 0..500 {
        let desk = desk.clone();
        tokio::spawn(async move { desk.providers(caller(0), &key(number)).await });
        sleep(millis(10)).await;
    }
    assert!(desk.rung() < Rung::CacheOnly, "the store is still asked: {}", desk.rung());
}

#[tokio::test(start_paused = true)]
async fn the_watch_for_stalls_can_be_switched_off() {
    let store = Store::new(1, 256);
    let mut config = permits(1);
    config.peak.stall_ms = 0;
    let desk = open(&store, vec![], config);
    sleep(millis(10)).await;
    store.set(Mood::Frozen);
    assert_eq!(desk.providers(caller(0), &key(0)).await.unwrap().ended, Ended::Late);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(desk.providers(caller(0), &key(1)).await.unwrap().ended, Ended::NoPermit);
}

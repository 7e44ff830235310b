//! Closing.

use crate::doubles::{FAILS, Mood, Store, addresses, caller, key, millis, open, peer, permits};
use hydra_api::StoreErrorKind;
use hydra_engine::{Config, Ending, StoreClosed};
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn everything_taken_is_written_before_the_store_is_closed() {
    let store = Store::new(2, 16);
    let engine = open(&store, vec![], Config { window_len_max: 64, ..Config::default() });
    store.set(Mood::Takes(millis(5)));
    for number in 0..1_000 {
        assert_eq!(engine.announce(caller(number), &key(number), || addresses(0)), Ok(Ending::Served));
    }
    let report = engine.close(Duration::from_secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
    assert!((0..1_000).all(|number| store.knows(&key(number), peer(number))));
    assert_eq!((store.is_closed(), store.running()), (true, 0));

    // Late requests are answered, and reach nothing.
    assert_eq!(engine.announce(caller(0), &key(5_000), || addresses(0)), Ok(Ending::Shed));
    assert_eq!(engine.providers(caller(0), &key(0)).await.unwrap().ending, Ending::Shed);
    sleep(Duration::from_secs(600)).await;
    assert!(store.reads().is_empty());
}

#[tokio::test(start_paused = true)]
async fn close_waits_for_statements_under_way() {
    let store = Store::new(2, 16);
    let engine = open(&store, vec![], permits(2));
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(700)));
    assert_eq!(engine.providers(caller(0), &key(0)).await.unwrap().ending, Ending::Late);
    let report = engine.close(Duration::from_secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(store.reads().len(), 1, "it had ended before the store was closed");
}

/// Reads that wait for a permit when the engine closes do not run beside the close of the store.
#[tokio::test(start_paused = true)]
async fn no_read_starts_while_the_store_is_closed() {
    let store = Store::new(4, 1);
    let engine = std::sync::Arc::new(open(&store, vec![], permits(4)));
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(100)));
    let requests: Vec<_> = (0..600u64)
        .map(|number| {
            let engine = engine.clone();
            tokio::spawn(async move {
                sleep(millis(number)).await;
                engine.providers(caller(number), &key(number)).await.unwrap().ending
            })
        })
        .collect();
    sleep(millis(250)).await;
    let before = store.reads().len();
    assert!(before > 0);
    store.close_takes(millis(500));
    assert!(engine.close(Duration::from_secs(4)).await.is_clean());
    assert!(store.is_closed());
    for request in requests {
        request.await.unwrap();
    }
    let running = 4;
    assert!(
        store.reads().len() <= before + running,
        "reads that waited have reached the store after the close began"
    );
}

/// What the store has taken of the window in hand is not reported as lost.
#[tokio::test(start_paused = true)]
async fn only_what_was_not_written_counts_as_unwritten() {
    let store = Store::new(2, 32);
    let engine = open(&store, vec![], permits(2));
    sleep(millis(10)).await;
    store.set_writes(Mood::Frozen);
    for number in 0..64 {
        engine.announce(caller(number), &key(number), || addresses(0)).unwrap();
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(store.running(), 1, "the other permit is for reads");
    store.set_writes(Mood::Takes(Duration::ZERO));
    // The second half comes only now.
    store.set_writes(Mood::Frozen);
    sleep(Duration::from_secs(1)).await;
    let report = engine.close(Duration::from_secs(4)).await;
    assert_eq!(report.unwritten, 32, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_store_does_not_hold_the_close_beyond_its_time() {
    let store = Store::new(2, 16);
    let engine = open(&store, vec![], permits(2));
    store.set(Mood::Frozen);
    for number in 0..100 {
        engine.announce(caller(number), &key(number), || addresses(0)).unwrap();
    }
    let begun = Instant::now();
    let report = engine.close(Duration::from_secs(3)).await;
    assert!(begun.elapsed() <= Duration::from_secs(3));
    assert_eq!(report.unwritten, 100, "those in the hands of the frozen call are told too");
    assert!(report.running > 0 && !report.is_clean());
}

#[tokio::test(start_paused = true)]
async fn the_stores_own_close_gets_its_share_of_the_time_whatever_waits_to_be_written() {
    let within = Duration::from_secs(8);
    for mood in [Mood::Takes(millis(900)), FAILS, Mood::Panics] {
        let store = Store::new(2, 16);
        let config = Config { write_queue_len_max: 65_536, window_len_max: 64, ..permits(2) };
        let engine = open(&store, vec![], config);
        store.set_writes(mood);
        for number in 0..10_000 {
            engine.announce(caller(number), &key(number), || addresses(0)).unwrap();
        }
        // An eighth of the time is kept for it; half of that, it takes.
        store.close_takes(within / 16);
        let begun = Instant::now();
        let report = engine.close(within).await;
        assert!(matches!(report.store, StoreClosed::Closed), "{mood:?}: {report:?}");
        assert!(store.is_closed() && begun.elapsed() <= within, "{mood:?}: {:?}", begun.elapsed());
        assert!(begun.elapsed() >= within * 3 / 4, "{mood:?}: the rest of the time was for the queue");
        assert!((1..=10_000).contains(&report.unwritten), "{mood:?}: {report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_is_tried_again_until_the_time_is_up() {
    let store = Store::new(2, 16);
    let engine = open(&store, vec![], Config { write_retries_max: 100, ..Config::default() });
    store.set(FAILS);
    engine.announce(caller(1), &key(1), || addresses(0)).unwrap();
    let report = engine.close(Duration::from_secs(2)).await;
    assert_eq!((report.unwritten, report.running), (1, 0));
    let because = report.unwritten_because();
    assert!(because.contains("the last write failed: insert: the store is unavailable"), "{because}");
    assert!((5..=25).contains(&store.batches().len()), "{} tries", store.batches().len());

    let store = Store::new(2, 16);
    let engine = open(&store, vec![], Config::default());
    store.set(FAILS);
    let report = engine.close(Duration::from_secs(2)).await;
    assert!(
        matches!(&report.store, StoreClosed::Failed(error) if error.kind() == StoreErrorKind::Unavailable)
    );
}

#[tokio::test(start_paused = true)]
async fn closing_twice_and_dropping_without_a_close_do_no_harm() {
    let store = Store::new(2, 16);
    let engine = open(&store, vec![], Config::default());
    assert!(engine.close(Duration::from_secs(1)).await.is_clean());
    assert!(engine.close(Duration::from_secs(1)).await.is_clean());

    let engine = open(&store, vec![], Config::default());
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(tasks() > 0);
    drop(engine);
    sleep(millis(10)).await;
    assert_eq!(tasks(), 0, "background tasks end with the engine");
}

/// The time for writing is over; the insert that runs ends within that for the calls under way.
#[tokio::test(start_paused = true)]
async fn what_an_insert_under_way_writes_before_the_store_is_closed_is_not_told_as_unwritten() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    sleep(millis(10)).await;
    store.set_writes(Mood::Takes(millis(800)));
    engine.announce(caller(1), &key(1), || addresses(1)).unwrap();
    let report = engine.close(millis(1_000)).await;
    assert!(store.knows(&key(1), peer(1)) && store.is_closed());
    assert_eq!(report.unwritten, 0, "{report:?} {}", report.unwritten_because());
}

#[tokio::test(start_paused = true)]
async fn calls_to_close_at_the_same_time_wait_for_each_other() {
    let store = Store::new(2, 16);
    let engine = open(&store, vec![], Config { window_len_max: 16, ..permits(2) });
    store.set(Mood::Takes(millis(100)));
    for number in 0..200 {
        assert_eq!(engine.announce(caller(number), &key(number), || addresses(0)), Ok(Ending::Served));
    }
    let within = Duration::from_secs(10);
    let (first, second) = tokio::join!(engine.close(within), engine.close(within));
    assert!(first.is_clean() && second.is_clean(), "{first:?} {second:?}");
    assert!((0..200).all(|number| store.knows(&key(number), peer(number))));
}

/// A call that goes away leaves the writing to the next one.
#[tokio::test(start_paused = true)]
async fn a_close_that_was_dropped_is_taken_up_by_the_next() {
    let store = Store::new(2, 16);
    let engine = open(&store, vec![], Config { window_len_max: 16, ..permits(2) });
    store.set(Mood::Takes(millis(100)));
    for number in 0..200 {
        assert_eq!(engine.announce(caller(number), &key(number), || addresses(0)), Ok(Ending::Served));
    }
    let gone = tokio::time::timeout(millis(150), engine.close(Duration::from_secs(10))).await;
    assert!(gone.is_err());
    let report = engine.close(Duration::from_secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
    assert!((0..200).all(|number| store.knows(&key(number), peer(number))));
}

#[tokio::test(start_paused = true)]
async fn a_close_may_take_as_long_as_there_is_time() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    engine.announce(caller(1), &key(1), || addresses(1)).unwrap();
    let report = engine.close(Duration::MAX).await;
    assert!(report.is_clean() && store.is_closed(), "{report:?}");
}

/// Every call that was waiting for a permit began within the end of the one before it.
#[test]
fn a_runtime_that_ends_with_a_long_line_does_not_end_the_process() {
    let store = Store::new(1, 1);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let engine = runtime.block_on(async {
        let engine = open(&store, vec![], permits(1));
        store.set_reads(Mood::Frozen);
        for number in 0..1_000 {
            let engine = engine.clone();
            tokio::spawn(async move { engine.providers(caller(0), &key(number)).await });
        }
        sleep(millis(100)).await;
        engine
    });
    assert!(engine.load().waiting.used > 900, "{:?}", engine.load());
    drop(runtime);
    assert_eq!(engine.load().in_flight.used, 0);
}

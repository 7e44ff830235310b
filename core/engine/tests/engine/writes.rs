//! Writes: the queue, windows, batches, pace, retries.

use crate::doubles::{
    FAILS, Mood, Store, addresses, caller, key, memory, millis, open, open_store, peer, permits,
};
use hydra_api::{Addresses, Operation, StoreError, StoreProfile, async_trait};
use hydra_conformance::doubles::{Behaviour, Call, ClaimingStore, Double};
use hydra_engine::{Config, Ending, Engine};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::sleep;

fn announce(engine: &Engine, number: u64) -> Ending {
    engine.announce(caller(number), &key(number), || addresses(number)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn batches_are_sorted_deduplicated_and_bounded() {
    let store = Store::new(4, 16);
    let engine = open(&store, vec![], Config { window_len_max: 64, ..Config::default() });
    for number in (0..100).chain(0..100) {
        announce(&engine, number);
    }
    sleep(millis(2_000)).await;
    let batches = store.batches();
    assert!(batches.iter().all(|batch| (1..=16).contains(&batch.len())));
    // 100 records: a window of 64 in four batches, then one of 36 in three.
    assert_eq!(batches.len(), 7);
    for window in [&batches[..4], &batches[4..]] {
        let keys: Vec<_> = window
            .iter()
            .flat_map(|batch| batch.iter())
            .map(|record| (record.key, record.provider))
            .collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "sorted, and none twice");
    }
    assert_eq!(engine.stats().writes.merged, 100);
    assert_eq!(engine.stats().writes.written, 100);
}

#[tokio::test(start_paused = true)]
async fn a_later_announcement_takes_the_place_of_an_earlier_one() {
    let store = Store::new(4, 16);
    let engine = open(&store, vec![], Config::default());
    let (one, key) = (caller(1), key(1));
    assert_eq!(engine.announce(one, &key, || addresses(1)).unwrap(), Ending::Served);
    sleep(millis(100)).await;
    assert_eq!(engine.announce(one, &key, || addresses(2)).unwrap(), Ending::Served);
    assert_eq!(engine.announce(one, &key, Addresses::none).unwrap(), Ending::Served);
    assert_eq!(
        engine.announce(caller(2), &key, || addresses(3)).unwrap(),
        Ending::Served,
        "another provider"
    );
    sleep(millis(600)).await;
    let batches = store.batches();
    assert_eq!((batches.len(), batches[0].len()), (1, 2));
    let mine = batches[0].iter().find(|record| record.provider == peer(1)).unwrap();
    assert_eq!(mine.addresses, addresses(2), "no addresses leave those that are known");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_and_counts_and_refreshes_what_it_holds() {
    let store = Store::new(4, 16);
    let engine = open(&store, vec![], Config { write_queue_len_max: 10, ..Config::default() });
    let taken = (0..100).filter(|number| announce(&engine, *number) == Ending::Served).count();
    assert_eq!(taken, 10);
    assert_eq!(announce(&engine, 3), Ending::Served);
    let stats = engine.stats();
    assert_eq!((stats.gauge.write_queue.used, stats.gauge.write_queue.max), (10, 10));
    assert_eq!(stats.writes.dropped_queue_full, 90);
    assert_eq!(stats.requests(Operation::AddProvider, Ending::QueueFull), 90);
    sleep(millis(600)).await;
    assert_eq!(announce(&engine, 50), Ending::Served, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_in_bytes_too() {
    let store = Store::new(4, 16);
    let engine = open(&store, vec![], Config { write_queue_mib_max: 1, ..Config::default() });
    let long = Addresses::fitting(vec![[1u8; 100]; 80]);
    let announce = |number| engine.announce(caller(0), &key(number), || long.clone()).unwrap();
    let taken = (0..1_000).filter(|number| announce(*number) == Ending::Served).count();
    assert!((100..129).contains(&taken), "{taken} of 8 kB in 1 MiB");
    assert!(engine.stats().gauge.write_queue_bytes <= 1 << 20);
    // Longer addresses for what waits already do not break the bound either.
    let short = open(&Store::new(4, 16), vec![], Config { write_queue_mib_max: 1, ..Config::default() });
    for number in 0..1_000 {
        short.announce(caller(0), &key(number), || addresses(0)).unwrap();
    }
    for number in 0..1_000 {
        short.announce(caller(0), &key(number), || long.clone()).unwrap();
    }
    assert!(short.stats().gauge.write_queue_bytes <= 1 << 20);
    assert_eq!(short.stats().gauge.write_queue.used, 1_000);
    assert!(short.load().write_queue.percent() >= 99, "{:?}", short.load().write_queue);
}

/// Announces at this rate for ten seconds; the write statements and the records written meanwhile.
async fn offer(per_second: u64) -> (usize, usize) {
    let store = Store::new(4, 100);
    let config = Config {
        window_len_max: 400,
        flush_interval_ms: 500,
        flush_interval_min_ms: 100,
        ..Config::default()
    };
    let engine = open(&store, vec![], config);
    store.set(Mood::Takes(millis(1)));
    for tick in 0..1_000 {
        for number in 0..per_second / 100 {
            announce(&engine, tick * 1_000_000 + number);
        }
        sleep(millis(10)).await;
    }
    let counted = store.counted();
    (counted.inserts as usize, counted.records as usize)
}

#[tokio::test(start_paused = true)]
async fn overload_makes_batches_larger_and_statements_not_more() {
    // The pace is 10 windows of 400 in 4 batches a second: 4,000 records.
    let (at_pace, records) = offer(4_000).await;
    assert!(records >= 38_000, "the pace itself is reached: {records}");
    for times in [5, 20] {
        let (statements, _) = offer(4_000 * times).await;
        let ratio = statements as f64 / at_pace as f64;
        assert!((0.95..=1.05).contains(&ratio), "{times}x: {statements} against {at_pace}");
    }
    // Below the pace a few larger statements are made, not many small ones.
    let (statements, records) = offer(100).await;
    assert!(statements <= 21, "{statements} for {records} records");
    assert!(records >= 950);
}

#[tokio::test(start_paused = true)]
async fn an_idle_engine_writes_nothing() {
    let store = Store::new(4, 16);
    let engine = open(&store, vec![], Config::default());
    sleep(Duration::from_secs(60)).await;
    assert!(store.batches().is_empty());
    assert_eq!(engine.stats().statements.writes, 0);
}

#[tokio::test(start_paused = true)]
async fn what_fails_waits_in_the_queue_until_the_store_is_back() {
    for mood in [FAILS, Mood::Panics] {
        let store = Store::new(4, 16);
        let engine = open(&store, vec![], Config::default());
        store.set(mood);
        (0..100).for_each(|number| assert_eq!(announce(&engine, number), Ending::Served));
        sleep(millis(10_000)).await;
        let tries = store.batches().len();
        assert!((2..=10_000 / 225 + 12).contains(&tries), "probes, and a few tries before: {tries}");
        assert_eq!(engine.load().write_queue.used, 100, "nothing is lost");
        // Something newer is not overwritten by what comes back.
        engine.announce(caller(5), &key(5), || addresses(55)).unwrap();
        store.set(Mood::Takes(Duration::ZERO));
        sleep(millis(10_000)).await;
        assert!((0..100).all(|number| store.knows(&key(number), peer(number))));
        assert_eq!(
            engine.providers(caller(0), &key(5)).await.unwrap().providers()[0].addresses,
            addresses(55)
        );
        assert_eq!(engine.load().write_queue.used, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn tries_of_an_unavailable_store_do_not_count() {
    let store = Store::new(4, 16);
    let engine = open(&store, vec![], Config { write_retries_max: 2, ..Config::default() });
    store.set(FAILS);
    announce(&engine, 1);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(
        engine.load().write_queue.used,
        1,
        "what a store that is unavailable cannot take waits for it"
    );
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_late_does_not_push_out_something_newer() {
    let store = Store::new(4, 16);
    let engine = open(&store, vec![], Config::default());
    engine.announce(caller(1), &key(1), || addresses(1)).unwrap();
    store.set(Mood::Frozen);
    sleep(millis(600)).await;
    assert_eq!(engine.announce(caller(1), &key(1), || addresses(2)).unwrap(), Ending::Served);
    store.set(FAILS);
    sleep(millis(100)).await;
    store.set(Mood::Takes(Duration::ZERO));
    sleep(millis(10_000)).await;
    assert_eq!(engine.providers(caller(0), &key(1)).await.unwrap().providers()[0].addresses, addresses(2));
    assert_eq!(store.batches().len(), 2, "the older one was not written again");
}

#[tokio::test(start_paused = true)]
async fn reads_and_writes_take_turns_at_a_single_permit() {
    let store = Store::new(1, 10);
    let engine = open(&store, vec![], Config { window_len_max: 1_000, ..permits(1) });
    store.set(Mood::Takes(millis(2)));
    let clients: Vec<_> = (0..20)
        .map(|number| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for round in 0..u64::MAX {
                    engine.providers(caller(number), &key(number * 1_000_000 + round)).await.unwrap();
                }
            })
        })
        .collect();
    (0..1_000).for_each(|number| _ = announce(&engine, number));
    sleep(millis(1_500)).await;
    clients.iter().for_each(|client| client.abort());
    assert_eq!(store.counted().records, 1_000, "writes are not starved");
    let read = store.reads().len();
    assert!(read > 400, "nor are reads: {read}");
}

#[tokio::test(start_paused = true)]
async fn background_runs_under_permits() {
    let store = Store::new(1, 16);
    let engine = open(&store, vec![], permits(1));
    announce(&engine, 1);
    sleep(Duration::from_secs(125)).await;
    let counted = store.counted();
    assert_eq!((counted.purges, counted.estimates), (2, 5));
    let estimate = engine.stats().estimate.unwrap();
    assert_eq!((estimate.estimate.records, estimate.age), (1, Duration::from_secs(5)));
    // Frozen: background calls take no more than the permits there are.
    store.set(Mood::Frozen);
    (0..100).for_each(|number| _ = announce(&engine, number));
    sleep(Duration::from_secs(600)).await;
    assert_eq!((store.running_max(), engine.load().in_flight.used), (1, 1));
    assert_eq!(engine.stats().statements.started - engine.stats().statements.ended, 1);
}

/// An insert that never returns costs its permit, and not the writes.
#[tokio::test(start_paused = true)]
async fn an_insert_that_hangs_does_not_stop_the_others() {
    let store = Store::new(4, 32);
    let engine = open(&store, vec![], permits(4));
    store.set_writes(Mood::Frozen);
    engine.announce(caller(1), &key(1), || addresses(1)).unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(store.running(), 1);
    store.hang_those_under_way();
    engine.announce(caller(2), &key(2), || addresses(2)).unwrap();
    sleep(Duration::from_secs(60)).await;
    assert!(store.knows(&key(2), peer(2)) && store.running() == 1);
    assert!(store.knows(&key(1), peer(1)), "it is written again, as nobody knows whether the store has it");
    assert_eq!(engine.load().write_queue.used, 0);
}

/// What waited for a store that was away is written in full batches as soon as one call has shown that it is back.
#[tokio::test(start_paused = true)]
async fn after_an_outage_batches_are_full_again() {
    let store = Store::new(4, 64);
    let engine = open(&store, vec![], permits(4));
    store.set(FAILS);
    for number in 0..640 {
        engine.announce(caller(1), &key(number), || addresses(1)).unwrap();
    }
    sleep(Duration::from_secs(60)).await;
    let inserts = store.counted().inserts;
    store.set(Mood::Takes(millis(1)));
    sleep(Duration::from_secs(5)).await;
    let caught_up = store.counted().inserts - inserts;
    assert_eq!(engine.load().write_queue.used, 0);
    assert!(caught_up <= 640 / 64 + 8, "{caught_up} inserts of 640 records");
}

/// Records of a part that does not answer are tried again at the pace of the flush interval, however many they are.
#[tokio::test(start_paused = true)]
async fn a_part_that_is_away_is_tried_at_a_slow_pace() {
    let store = Store::new(4, 64);
    let config = Config { window_len_max: 40, write_queue_len_max: 2_000, ..permits(4) };
    let engine = open(&store, vec![], config);
    store.forget_half(true);
    for number in 0..400 {
        engine.announce(caller(1), &key(number), || addresses(1)).unwrap();
    }
    let steadily = async |seconds: u64| {
        let windows = engine.stats().writes.windows;
        for number in 0..seconds * 10 {
            let number = windows * 1_000 + number;
            engine.announce(caller(1), &key(1 << 20 | number), || addresses(1)).unwrap();
            sleep(millis(100)).await;
        }
        engine.stats().writes.windows - windows
    };
    steadily(10).await;
    let windows = steadily(10).await;
    assert!(windows <= 30, "{windows} windows in ten seconds, of which the flush interval allows twenty");
}

/// How many inserts run at a time, at most so far.
#[derive(Debug, Default, Clone)]
struct AtATime(Arc<[AtomicUsize; 2]>);

#[async_trait]
impl Behaviour for AtATime {
    async fn enter(&self, call: Call) -> Result<(), StoreError> {
        if let Call::Insert(_) = call {
            let [now, most] = &*self.0;
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            sleep(millis(50)).await;
            now.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_writes_run_at_a_time_as_the_store_serves() {
    let len = |len| NonZeroUsize::new(len).unwrap();
    // A quarter of all permits is kept for reads.
    for (writes, most) in [(1, 1), (3, 3), (8, 6)] {
        let profile = StoreProfile::builder().concurrency_max(len(8)).write_concurrency_max(len(writes));
        let profile = profile.write_batch_len_max(len(16)).build();
        let at_a_time = AtATime::default();
        let double = Arc::new(Double::of(memory(), at_a_time.clone()));
        let store = Arc::new(ClaimingStore::new(double, profile));
        let engine = open_store(store, vec![], permits(8), None);
        (0..2_000).for_each(|number| assert_eq!(announce(&engine, number), Ending::Served));
        sleep(Duration::from_secs(30)).await;
        assert_eq!(engine.stats().writes.written, 2_000);
        assert_eq!(at_a_time.0[1].load(Ordering::Relaxed), most, "of a store that serves {writes}");
    }
}

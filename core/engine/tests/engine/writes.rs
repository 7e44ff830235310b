//! Writes: the ring, windows, batches, pace, retries.

use crate::doubles::{Mood, Store, addresses, caller, key, millis, open, peer, permits};
use hydra_api::{Addresses, Operation};
use hydra_engine::{Announced, Config, Desk, Ending};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

fn announce(desk: &Desk, number: u64) -> Announced {
    desk.announce(caller(number), &key(number), || addresses(number)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn batches_are_sorted_deduplicated_and_bounded() {
    let store = Store::new(4, 16);
    let desk = open(&store, vec![], Config { window_len_max: 64, ..Config::default() });
    for number in (0..100).chain(0..100) {
        announce(&desk, number);
    }
    sleep(millis(2_000)).await;
    let log = store.log();
    assert!(log.batches.iter().all(|batch| (1..=16).contains(&batch.len())));
    // 100 records: a window of 64 in four batches, then one of 36 in three.
    assert_eq!(log.batches.len(), 7);
    for window in [&log.batches[..4], &log.batches[4..]] {
        let keys: Vec<_> = window.iter().flatten().map(|record| (record.key, record.provider)).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "sorted, and none twice");
    }
    assert_eq!(desk.stats().writes.merged, 100);
    assert_eq!(desk.stats().writes.written, 100);
}

#[tokio::test(start_paused = true)]
async fn a_later_announcement_takes_the_place_of_an_earlier_one() {
    let store = Store::new(4, 16);
    let desk = open(&store, vec![], Config::default());
    let (one, key) = (caller(1), key(1));
    assert_eq!(desk.announce(one, &key, || addresses(1)).unwrap(), Announced::Taken);
    sleep(millis(100)).await;
    assert_eq!(desk.announce(one, &key, || addresses(2)).unwrap(), Announced::Merged);
    assert_eq!(desk.announce(one, &key, Addresses::none).unwrap(), Announced::Merged);
    assert_eq!(
        desk.announce(caller(2), &key, || addresses(3)).unwrap(),
        Announced::Taken,
        "another provider"
    );
    sleep(millis(600)).await;
    let log = store.log();
    assert_eq!((log.batches.len(), log.batches[0].len()), (1, 2));
    let mine = log.batches[0].iter().find(|record| record.provider == peer(1)).unwrap();
    assert_eq!(mine.addresses, addresses(2), "no addresses leave those that are known");
}

#[tokio::test(start_paused = true)]
async fn a_full_ring_drops_and_counts_and_refreshes_what_it_holds() {
    let store = Store::new(4, 16);
    let desk = open(&store, vec![], Config { ring_len_max: 10, ..Config::default() });
    let taken = (0..100).filter(|number| announce(&desk, *number) == Announced::Taken).count();
    assert_eq!(taken, 10);
    assert_eq!(announce(&desk, 3), Announced::Merged);
    let stats = desk.stats();
    assert_eq!((stats.gauge.ring.used, stats.gauge.ring.max), (10, 10));
    assert_eq!(stats.writes.dropped_ring_full, 90);
    assert_eq!(stats.requests(Operation::AddProvider, Ending::RingFull), 90);
    sleep(millis(600)).await;
    assert_eq!(announce(&desk, 50), Announced::Taken, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn the_ring_is_bounded_in_bytes_too() {
    let store = Store::new(4, 16);
    let desk = open(&store, vec![], Config { ring_mib_max: 1, ..Config::default() });
    let long = Addresses::fitting(vec![[1u8; 100]; 80]);
    let announce = |number| desk.announce(caller(0), &key(number), || long.clone()).unwrap();
    let taken = (0..1_000).filter(|number| announce(*number) == Announced::Taken).count();
    assert!((100..129).contains(&taken), "{taken} of 8 kB in 1 MiB");
    assert!(desk.stats().gauge.ring_bytes <= 1 << 20);
    // Longer addresses for what waits already do not break the bound either.
    let mut short = open(&Store::new(4, 16), vec![], Config { ring_mib_max: 1, ..Config::default() });
    for number in 0..1_000 {
        short.announce(caller(0), &key(number), || addresses(0)).unwrap();
    }
    for number in 0..1_000 {
        short.announce(caller(0), &key(number), || long.clone()).unwrap();
    }
    assert!(short.stats().gauge.ring_bytes <= 1 << 20);
    assert_eq!(Arc::get_mut(&mut short).map(|desk| desk.load().ring.used), Some(1_000));
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
    let desk = open(&store, vec![], config);
    store.set(Mood::Takes(millis(1)));
    for tick in 0..1_000 {
        for number in 0..per_second / 100 {
            announce(&desk, tick * 1_000_000 + number);
        }
        sleep(millis(10)).await;
    }
    let log = store.log();
    (log.batches.len(), log.batches.iter().map(Vec::len).sum())
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
async fn an_idle_desk_writes_nothing() {
    let store = Store::new(4, 16);
    let desk = open(&store, vec![], Config::default());
    sleep(Duration::from_secs(60)).await;
    assert!(store.log().batches.is_empty());
    assert_eq!(desk.stats().statements.writes, 0);
}

#[tokio::test(start_paused = true)]
async fn what_fails_waits_in_the_ring_until_the_store_is_back() {
    for mood in [Mood::Fails, Mood::Panics] {
        let store = Store::new(4, 16);
        let desk = open(&store, vec![], Config::default());
        store.set(mood);
        (0..100).for_each(|number| assert_eq!(announce(&desk, number), Announced::Taken));
        sleep(millis(10_000)).await;
        let tries = store.log().batches.len();
        assert!((2..=12).contains(&tries), "few tries, with growing pauses: {tries}");
        assert_eq!(desk.load().ring.used, 100, "nothing is lost");
        // Something newer is not overwritten by what comes back.
        desk.announce(caller(5), &key(5), || addresses(55)).unwrap();
        store.set(Mood::Takes(Duration::ZERO));
        sleep(millis(10_000)).await;
        assert!((0..100).all(|number| store.knows(&key(number), peer(number))));
        assert_eq!(store.log().records[&key(5)[..]][&peer(5)].0, addresses(55));
        assert_eq!(desk.load().ring.used, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn retries_are_bounded_and_what_is_given_up_is_counted() {
    let store = Store::new(4, 16);
    let desk = open(&store, vec![], Config { write_retries_max: 2, ..Config::default() });
    store.set(Mood::Fails);
    announce(&desk, 1);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(store.log().batches.len(), 3);
    let stats = desk.stats();
    assert_eq!((stats.writes.retried, stats.writes.dropped_after_retries), (2, 1));
    assert_eq!(stats.gauge.ring.used, 0);
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_late_does_not_push_out_something_newer() {
    let store = Store::new(4, 16);
    let desk = open(&store, vec![], Config::default());
    desk.announce(caller(1), &key(1), || addresses(1)).unwrap();
    store.set(Mood::Frozen);
    sleep(millis(600)).await;
    assert_eq!(desk.announce(caller(1), &key(1), || addresses(2)).unwrap(), Announced::Taken);
    store.set(Mood::Fails);
    sleep(millis(100)).await;
    store.set(Mood::Takes(Duration::ZERO));
    sleep(millis(10_000)).await;
    assert_eq!(store.log().records[&key(1)[..]][&peer(1)].0, addresses(2));
    assert_eq!(store.log().batches.len(), 2, "the older one was not written again");
}

#[tokio::test(start_paused = true)]
async fn reads_and_writes_take_turns_at_a_single_permit() {
    let store = Store::new(1, 10);
    let desk = open(&store, vec![], Config { window_len_max: 1_000, ..permits(1) });
    store.set(Mood::Takes(millis(2)));
    let clients: Vec<_> = (0..20)
        .map(|number| {
            let desk = desk.clone();
            tokio::spawn(async move {
                for round in 0..u64::MAX {
                    desk.providers(caller(number), &key(number * 1_000_000 + round)).await.unwrap();
                }
            })
        })
        .collect();
    (0..1_000).for_each(|number| _ = announce(&desk, number));
    sleep(millis(1_500)).await;
    clients.iter().for_each(|client| client.abort());
    let log = store.log();
    let written: usize = log.batches.iter().map(Vec::len).sum();
    assert_eq!(written, 1_000, "writes are not starved");
    assert!(log.reads.len() > 400, "nor are reads: {}", log.reads.len());
}

#[tokio::test(start_paused = true)]
async fn chores_run_under_permits() {
    let store = Store::new(1, 16);
    let desk = open(&store, vec![], permits(1));
    announce(&desk, 1);
    sleep(Duration::from_secs(125)).await;
    let (purges, estimates) = {
        let log = store.log();
        (log.purges, log.estimates)
    };
    assert_eq!((purges, estimates), (2, 5));
    let estimate = desk.stats().estimate.unwrap();
    assert_eq!((estimate.estimate.records, estimate.age), (1, Duration::from_secs(5)));
    // Frozen: the chores' own calls take no more than the permits there are.
    store.set(Mood::Frozen);
    (0..100).for_each(|number| _ = announce(&desk, number));
    sleep(Duration::from_secs(600)).await;
    assert_eq!((store.running_max(), desk.load().in_flight.used), (1, 1));
    assert_eq!(desk.stats().statements.started - desk.stats().statements.ended, 1);
}

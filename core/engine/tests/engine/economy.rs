//! How little the store is asked.

use crate::doubles::{FAILS, Ledger, Mood, Store, addresses, caller, key, millis, open, peer, permits};
use hydra_api::{Rung, Verdict};
use hydra_engine::{Caller, Config, Ending, Engine, Source};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

fn at_head(head: u32) -> Caller {
    Caller { head, ..caller(u64::from(head)) }
}

/// A read in its own task, which has come as far as it can when this returns.
async fn begin(engine: &Arc<Engine>, caller: Caller, number: u64) -> JoinHandle<(Ending, Source)> {
    let engine = engine.clone();
    let read = tokio::spawn(async move {
        let found = engine.providers(caller, &key(number)).await.unwrap();
        (found.ending, found.source)
    });
    for _ in 0..5 {
        tokio::task::yield_now().await;
    }
    read
}

/// How many store calls that read there were.
fn statements(store: &Store) -> usize {
    store.limits().len()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_concurrent_gets_of_one_key_are_one_statement() {
    let store = Store::new(8, 256);
    let engine = open(&store, vec![], permits(8));
    store.set(Mood::Takes(millis(5)));
    let mut reads = Vec::new();
    for head in 0..100 {
        reads.push(begin(&engine, at_head(head), 1).await);
    }
    let mut sources = Vec::new();
    for read in reads {
        let (ended, source) = read.await.unwrap();
        assert_eq!(ended, Ending::Served);
        sources.push(source);
    }
    assert_eq!(statements(&store), 1);
    assert_eq!(sources.iter().filter(|source| **source == Source::Shared).count(), 99);
    let reads = engine.stats().reads;
    assert_eq!((reads.misses, reads.coalesced, reads.statements), (100, 99, 1));
    assert_eq!(engine.stats().gauge.flights, 0);
}

#[tokio::test(start_paused = true)]
async fn the_same_announcement_at_ten_heads_is_one_row() {
    let store = Store::new(8, 256);
    let engine = open(&store, vec![], permits(8));
    for head in 0..10 {
        let caller = Caller { head, ..caller(1) };
        engine.announce(caller, &key(1), || addresses(1)).unwrap();
        sleep(millis(20)).await;
    }
    sleep(millis(600)).await;
    let rows: usize = store.batches().iter().map(|batch| batch.len()).sum();
    assert_eq!((rows, engine.stats().writes.merged), (1, 9));
}

#[tokio::test(start_paused = true)]
async fn sixty_four_different_keys_that_wait_are_one_statement() {
    let store = Store::new(1, 256);
    let engine = open(&store, vec![], permits(1));
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(10)));
    let mut reads = vec![begin(&engine, caller(0), 0).await];
    for number in 1..=64 {
        reads.push(begin(&engine, caller(0), number).await);
    }
    let begun = Instant::now();
    for read in reads {
        assert_eq!(read.await.unwrap(), (Ending::Served, Source::Store));
    }
    assert_eq!(statements(&store), 2, "the one that ran, and one for all that waited");
    assert_eq!(begun.elapsed(), millis(20));
    assert_eq!(engine.stats().reads.batched, 64);
    assert_eq!(store.reads().len(), 65);
}

#[tokio::test(start_paused = true)]
async fn a_statement_reads_no_more_keys_than_the_store_takes() {
    let store = Store::new(1, 16);
    let engine = open(&store, vec![], permits(1));
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(1)));
    for number in 0..=64 {
        begin(&engine, caller(0), number).await;
    }
    sleep(millis(50)).await;
    assert_eq!((statements(&store), store.reads().len()), (1 + 4, 65));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_finds_the_gate_idle_does_not_wait_for_others() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(3)));
    let begun = Instant::now();
    assert_eq!(engine.providers(caller(0), &key(1)).await.unwrap().ending, Ending::Served);
    assert_eq!(begun.elapsed(), millis(3));
}

#[tokio::test(start_paused = true)]
async fn absent_keys_asked_again_within_the_negative_life_are_no_statement() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    for number in 0..50 {
        engine.providers(caller(0), &key(number)).await.unwrap();
    }
    sleep(Duration::from_secs(9)).await;
    let asked = statements(&store);
    for number in 0..50 {
        let found = engine.providers(at_head(1), &key(number)).await.unwrap();
        assert_eq!((found.ending, found.source), (Ending::Served, Source::Cache));
    }
    assert_eq!((statements(&store), engine.stats().reads.absent_hits), (asked, 50));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(engine.providers(caller(0), &key(1)).await.unwrap().source, Source::Store);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_leaves_the_line_leaves_its_place_to_one_who_wants_the_same() {
    let store = Store::new(1, 256);
    let engine = open(&store, vec![], permits(1));
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(15)));
    let running = begin(&engine, caller(0), 0).await;
    let leader = begin(&engine, caller(1), 1).await;
    let followers = [begin(&engine, caller(2), 1).await, begin(&engine, caller(3), 1).await];
    leader.abort();
    assert!(running.await.is_ok());
    for follower in followers {
        assert_eq!(follower.await.unwrap().0, Ending::Served);
    }
    assert_eq!((statements(&store), engine.stats().gauge.flights), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_follower_is_answered_at_its_own_deadline() {
    let store = Store::new(1, 256);
    let engine = open(&store, vec![], permits(1));
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(400)));
    begin(&engine, caller(0), 1).await;
    sleep(millis(200)).await;
    let begun = Instant::now();
    assert_eq!(engine.providers(caller(1), &key(1)).await.unwrap().ending, Ending::Served);
    assert_eq!(begun.elapsed(), millis(200), "with what the other one began, at which that one was late");
    store.set(Mood::Takes(millis(800)));
    begin(&engine, caller(0), 2).await;
    sleep(millis(200)).await;
    let begun = Instant::now();
    assert_eq!(engine.providers(caller(1), &key(2)).await.unwrap().ending, Ending::Late);
    assert_eq!(begun.elapsed(), millis(250));
    assert_eq!(statements(&store), 2);
}

#[tokio::test(start_paused = true)]
async fn who_follows_a_flight_that_departed_for_a_shorter_answer_is_told_that_it_is_short() {
    let short = Ledger::new(|request, _| match request.peer == peer(0) {
        true => Verdict::Degrade(Rung::Short),
        false => Verdict::Admit,
    });
    let config = Config { providers_per_answer_max: 20, providers_per_short_answer_max: 5, ..permits(1) };
    for (providers, given, rung) in [(20, 5, Rung::Short), (3, 3, Rung::Full)] {
        let store = Store::new(1, 256);
        let engine = open(&store, vec![short.named("short")], config.clone());
        for provider in 1..=providers {
            engine.announce(caller(provider), &key(1), || addresses(provider)).unwrap();
        }
        sleep(millis(600)).await;
        store.set_reads(Mood::Takes(millis(50)));
        let leader = begin(&engine, caller(0), 1).await;
        let followed = engine.providers(caller(99), &key(1)).await.unwrap();
        assert_eq!((followed.ending, followed.source), (Ending::Served, Source::Shared));
        assert_eq!((followed.providers().len(), followed.rung), (given, rung), "of {providers}");
        assert_eq!(leader.await.unwrap().0, Ending::Served);
        assert_eq!(store.limits(), [5], "it had departed");
        // What is short is not kept as the whole; one that waits still can be made longer.
        let whole = engine.providers(caller(99), &key(1)).await.unwrap();
        assert_eq!((whole.providers().len() as u64, whole.rung), (providers, Rung::Full));
        begin(&engine, caller(0), 2).await;
        begin(&engine, caller(0), 3).await;
        begin(&engine, caller(99), 3).await;
        sleep(millis(200)).await;
        assert_eq!(store.limits().last(), Some(&20));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_statement_fails_all_its_readings_and_none_is_left_over() {
    for mood in [FAILS, Mood::Panics] {
        let store = Store::new(1, 256);
        let engine = open(&store, vec![], permits(1));
        sleep(millis(10)).await;
        store.set(Mood::Takes(millis(10)));
        begin(&engine, caller(0), 0).await;
        let mut reads = Vec::new();
        for number in 1..10 {
            reads.push(begin(&engine, caller(0), number).await);
            reads.push(begin(&engine, caller(1), number).await);
        }
        store.set(mood);
        for read in reads {
            assert_eq!(read.await.unwrap().0, Ending::StoreFailed);
        }
        assert_eq!((engine.stats().gauge.flights, engine.load().in_flight.used), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn announcements_are_known_again_only_while_the_node_is_busy() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], Config::default());
    for _ in 0..3 {
        assert_eq!(engine.announce(caller(1), &key(1), || addresses(1)), Ok(Ending::Served));
        sleep(millis(600)).await;
    }
    assert_eq!((store.batches().len(), engine.stats().writes.refreshes_skipped), (3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readings_are_shared_among_many_threads_and_all_land() {
    let store = Store::new(2, 8);
    let mut config = Config { flush_interval_ms: 10, flush_interval_min_ms: 1, ..permits(2) };
    // Nothing is kept: every read is a reading. Writes outdate those that are under way.
    config.cache.mib_max = 0;
    config.waiting_len_max = 4;
    let engine = open(&store, vec![], config);
    let client = |number: u64| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for round in 0..1_000 {
                let key = key(round % 20);
                let read = engine.providers(caller(number), &key);
                // Some leave early, in line or while they follow.
                if round % 7 == number % 7 {
                    drop(tokio::time::timeout(Duration::from_micros(50), read).await);
                } else {
                    read.await.unwrap();
                }
                engine.announce(caller(number), &key, || addresses(round)).unwrap();
            }
        })
    };
    for client in (0..16).map(client).collect::<Vec<_>>() {
        client.await.unwrap();
    }
    assert!(engine.close(Duration::from_secs(60)).await.is_clean());
    // A flight lands after its permit has come back, for which the close waits.
    while engine.stats().gauge.flights > 0 {
        tokio::task::yield_now().await;
    }
    let stats = engine.stats();
    assert_eq!(stats.gauge.waiting.used, 0);
    assert!(stats.reads.coalesced > 0 && store.running_max() <= 2);
}

//! The ladder: what brings the node onto each rung, what it does there, and how it comes back.

use crate::doubles::{FAILS, Ledger, Mood, Store, addresses, caller, key, millis, open, peer, permits};
use hydra_api::{Addresses, Rung, Verdict};
use hydra_engine::{Config, Ending, Engine, ReadCache, Source};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Reads keys that nobody asked for before, at this rate and each in its own task; the rungs that the node stood on,
/// each change once.
async fn offer(engine: &Arc<Engine>, first: u64, per_second: u64, seconds: u64) -> Vec<Rung> {
    let mut rungs = vec![engine.rung()];
    for tick in 0..seconds * 100 {
        for number in 0..per_second / 100 {
            let engine = engine.clone();
            let number = first + tick * 1_000 + number;
            tokio::spawn(async move { engine.providers(caller(0), &key(number)).await.unwrap().ending });
        }
        if rungs.last() != Some(&engine.rung()) {
            rungs.push(engine.rung());
        }
        sleep(millis(10)).await;
    }
    rungs
}

fn entered(engine: &Engine, rung: Rung) -> u64 {
    engine.stats().entered(rung).reads
}

#[tokio::test(start_paused = true)]
async fn slow_reads_bring_the_node_to_short_and_fast_ones_back() {
    let store = Store::new(100, 256);
    let engine = open(&store, vec![], permits(100));
    store.set(Mood::Takes(millis(120)));
    assert_eq!(offer(&engine, 0, 100, 3).await, [Rung::Full, Rung::Short]);
    let found = engine.providers(caller(0), &key(u64::MAX)).await.unwrap();
    assert_eq!((found.rung, found.ending), (Rung::Short, Ending::Served));
    assert_eq!(store.limits().last(), Some(&Config::PROVIDERS_PER_SHORT_ANSWER_MAX));
    store.set(Mood::Takes(millis(1)));
    assert_eq!(offer(&engine, 1 << 32, 100, 4).await, [Rung::Short, Rung::Full]);
    assert_eq!((entered(&engine, Rung::Short), entered(&engine, Rung::Full)), (1, 1), "counted once each");
}

#[tokio::test(start_paused = true)]
async fn on_stale_old_answers_are_given_and_no_read_waits() {
    let store = Store::new(2, 256);
    let engine = open(&store, vec![], permits(2));
    engine.announce(caller(1), &key(7), || addresses(1)).unwrap();
    sleep(millis(600)).await;
    engine.providers(caller(0), &key(7)).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    store.set(Mood::Takes(millis(300)));
    let rungs = offer(&engine, 1_000, 200, 5).await;
    assert!(rungs.contains(&Rung::Stale) && !rungs.contains(&Rung::CacheOnly), "{rungs:?}");
    assert_eq!(engine.rung(), Rung::Stale);
    let begun = Instant::now();
    let found = engine.providers(caller(0), &key(7)).await.unwrap();
    assert_eq!((found.source, found.providers().len()), (Source::StaleCache, 1));
    assert_eq!(engine.providers(caller(0), &key(8)).await.unwrap().ending, Ending::NoPermit);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    store.set(Mood::Takes(millis(1)));
    assert_eq!(offer(&engine, 1 << 32, 100, 6).await, [Rung::Stale, Rung::Short, Rung::Full]);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_store_leaves_what_is_kept() {
    let store = Store::new(1, 256);
    let engine = open(&store, vec![], permits(1));
    engine.announce(caller(1), &key(7), || addresses(1)).unwrap();
    sleep(millis(600)).await;
    engine.providers(caller(0), &key(7)).await.unwrap();
    store.set(Mood::Frozen);
    engine.announce(caller(2), &key(8), || addresses(1)).unwrap();
    sleep(Duration::from_secs(100)).await;
    assert_eq!((engine.rung(), entered(&engine, Rung::CacheOnly)), (Rung::CacheOnly, 1));
    let found = engine.providers(caller(0), &key(7)).await.unwrap();
    assert_eq!((found.rung, found.source, found.providers().len()), (Rung::CacheOnly, Source::StaleCache, 1));
    assert_eq!(engine.providers(caller(0), &key(9)).await.unwrap().ending, Ending::Shed);
    store.set(Mood::Takes(millis(1)));
    let way_down = [Rung::CacheOnly, Rung::Stale, Rung::Short, Rung::Full];
    assert_eq!(offer(&engine, 1 << 32, 100, 6).await, way_down);
}

#[tokio::test(start_paused = true)]
async fn a_filling_queue_degrades_writes_before_it_is_full_and_leaves_reads_alone() {
    let store = Store::new(2, 256);
    let config =
        Config { write_queue_len_max: 1_000, window_len_max: 1_000, flush_interval_ms: 60_000, ..permits(2) };
    let engine = open(&store, vec![], config);
    for (announced, rung) in [(490, Rung::Full), (510, Rung::Short), (860, Rung::Stale)] {
        (engine.load().write_queue.used.into()..announced)
            .for_each(|number| _ = engine.announce(caller(number), &key(number), || addresses(0)).unwrap());
        sleep(millis(150)).await;
        assert_eq!((engine.write_rung(), engine.read_rung(), engine.rung()), (rung, Rung::Full, rung));
    }
    let found = engine.providers(caller(0), &key(7_000)).await.unwrap();
    assert_eq!((found.ending, found.rung), (Ending::Served, Rung::Full));
}

/// Its memory may be used up long before its places are.
#[tokio::test(start_paused = true)]
async fn a_queue_that_is_full_of_long_addresses_is_a_full_queue() {
    let store = Store::new(4, 256);
    let config = Config { write_queue_mib_max: 1, ..permits(4) };
    let engine = open(&store, vec![], config);
    store.set_writes(Mood::Takes(millis(700)));
    let long = || Addresses::fitting([[7u8; 200]; 40]);
    let mut number = 0;
    while engine.announce(caller(1), &key(number), long).unwrap() == Ending::Served {
        number += 1;
    }
    sleep(millis(200)).await;
    assert!(engine.load().write_queue.percent() >= 90, "{:?} after {number}", engine.load().write_queue);
    assert_eq!(engine.write_rung(), Rung::Stale);
    assert_eq!(engine.rung_reasons(), ["", "the write queue fills up"]);
    sleep(Duration::from_secs(10)).await;
    assert_eq!((engine.write_rung(), engine.load().write_queue.used), (Rung::Full, 0));
}

#[tokio::test(start_paused = true)]
async fn known_records_are_not_written_again_on_short_and_stale() {
    for (rung, after_25_hours) in [(Rung::Short, Ending::Served), (Rung::Stale, Ending::Known)] {
        let degrades = Ledger::new(move |_, _| Verdict::Degrade(rung));
        let store = Store::new(2, 256);
        let engine = open(&store, vec![degrades.named("degrades")], permits(2));
        // Without addresses, whose age is another matter.
        let announce = |provider: u64| engine.announce(caller(provider), &key(1), Addresses::none).unwrap();
        assert_eq!([announce(1), announce(1)], [Ending::Served; 2], "not in the store yet");
        sleep(millis(600)).await;
        assert_eq!([announce(1), announce(2)], [Ending::Known, Ending::Served], "another provider");
        tokio::time::advance(Duration::from_secs(23 * 3_600)).await;
        sleep(millis(600)).await;
        assert_eq!(announce(2), Ending::Known);
        tokio::time::advance(Duration::from_secs(2 * 3_600)).await;
        assert_eq!(announce(2), after_25_hours);
        sleep(millis(600)).await;
        let rows: usize = store.batches().iter().map(|batch| batch.len()).sum();
        let skipped = engine.stats().writes.refreshes_skipped;
        assert_eq!(rows as u64 + skipped, 6 - 1, "each was merged, known or written");
        assert_eq!(engine.stats().requests(hydra_api::Operation::AddProvider, Ending::Known), skipped);
        assert!(store.knows(&key(1), peer(2)));
    }
}

#[tokio::test(start_paused = true)]
async fn v11_addresses_outlive_the_next_announcement_though_refreshes_are_skipped() {
    let degrades = Ledger::new(|_, _| Verdict::Degrade(Rung::Short));
    let store = Store::new(2, 256);
    let engine = open(&store, vec![degrades.named("degrades")], permits(2));
    let told = async |number: u64| {
        let ending = engine.announce(caller(1), &key(number), || addresses(1)).unwrap();
        sleep(millis(600)).await;
        ending
    };
    // A provider of three keys announces them every 22 hours, for 90 hours.
    for round in 0..5u64 {
        for number in 0..3 {
            told(number).await;
        }
        for _ in 0..22 {
            tokio::time::advance(Duration::from_secs(3_600)).await;
            sleep(millis(200)).await;
            for number in 0..3 {
                let found = engine.providers(caller(9), &key(number)).await.unwrap();
                assert_eq!(found.providers().len(), 1, "round {round}");
                assert_eq!(found.providers()[0].addresses, addresses(1), "key {number} in round {round}");
            }
        }
    }
    assert!(engine.stats().writes.refreshes_skipped >= 4, "{:?}", engine.stats().writes);
}

#[tokio::test(start_paused = true)]
async fn addresses_that_change_and_change_back_are_written_each_time() {
    let degrades = Ledger::new(|_, _| Verdict::Degrade(Rung::Stale));
    let store = Store::new(2, 256);
    let engine = open(&store, vec![degrades.named("degrades")], permits(2));
    for (told, ending) in [(1, Ending::Served), (1, Ending::Known), (2, Ending::Served), (1, Ending::Served)]
    {
        assert_eq!(engine.announce(caller(1), &key(1), || addresses(told)), Ok(ending));
        sleep(millis(600)).await;
    }
    let last = store.batches().last().unwrap()[0].clone();
    assert_eq!(last.addresses, addresses(1));
}

#[tokio::test(start_paused = true)]
async fn addresses_that_change_back_while_the_change_waits_are_written() {
    let degrades = Ledger::new(|_, _| Verdict::Degrade(Rung::Stale));
    let store = Store::new(2, 256);
    let engine = open(&store, vec![degrades.named("degrades")], permits(2));
    let announce = |told| engine.announce(caller(1), &key(1), || addresses(told)).unwrap();
    announce(1);
    sleep(millis(600)).await;
    assert_eq!([announce(2), announce(1)], [Ending::Served; 2]);
    // What waits is what the second one says.
    assert_eq!(announce(1), Ending::Known);
    sleep(millis(600)).await;
    assert_eq!(store.batches().last().unwrap()[0].addresses, addresses(1));
    // Also while the change is being written.
    store.set_writes(Mood::Takes(millis(500)));
    announce(2);
    sleep(millis(600)).await;
    assert_eq!((store.running(), announce(1)), (1, Ending::Served));
    sleep(millis(1_000)).await;
    assert_eq!(store.batches().last().unwrap()[0].addresses, addresses(1));
}

#[tokio::test(start_paused = true)]
async fn what_failed_to_be_written_is_not_taken_for_known() {
    let degrades = Ledger::new(|_, _| Verdict::Degrade(Rung::Stale));
    let store = Store::new(2, 256);
    let config = Config { write_retries_max: 0, ..permits(2) };
    let engine = open(&store, vec![degrades.named("degrades")], config);
    store.set(FAILS);
    for _ in 0..2 {
        assert_eq!(engine.announce(caller(1), &key(1), || addresses(1)).unwrap(), Ending::Served);
        sleep(Duration::from_secs(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lasting_overload_does_not_make_the_rung_flap() {
    // The store reads 100 keys a second, 40 ms each four; 1,400 keys are asked for in turn. What is kept for 10 seconds
    // leaves too much to it, what is kept for two minutes nothing: calm on stale, overload on any better rung.
    let store = Store::new(1, 4);
    let cache = ReadCache { stale_absent_s: 120, ..ReadCache::default() };
    let engine = open(&store, vec![], Config { cache, ..permits(1) });
    store.set(Mood::Takes(millis(40)));
    let (mut changes, mut rung, mut degraded) = (0, engine.rung(), 0);
    for number in 0..300_000u64 {
        let reader = engine.clone();
        tokio::spawn(async move { reader.providers(caller(0), &key(number % 1_400)).await.unwrap().ending });
        sleep(millis(1)).await;
        changes += u32::from(engine.rung() != rung);
        rung = engine.rung();
        degraded += u32::from(rung >= Rung::Stale);
    }
    assert!(degraded > 200_000, "it is an overload: {degraded}");
    // No more patience than lets a node be on the full rung within ten seconds after the overload.
    assert!(changes <= 120, "{changes} changes in 300 s");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(engine.rung(), Rung::Full);
}

#[tokio::test(start_paused = true)]
async fn each_rung_can_be_switched_off() {
    let store = Store::new(2, 256);
    let mut config = permits(2);
    config.short.enabled = false;
    store.set(Mood::Takes(millis(300)));
    let engine = open(&store, vec![], config.clone());
    let rungs = offer(&engine, 0, 200, 5).await;
    assert!(rungs.ends_with(&[Rung::Stale]) && !rungs.contains(&Rung::Short), "{rungs:?}");
    config.stale.enabled = false;
    let engine = open(&store, vec![], config.clone());
    assert_eq!(offer(&engine, 0, 200, 5).await, [Rung::Full]);
    // A single signal of a rung, too.
    config.short.enabled = true;
    config.short.denied_percent = 0;
    config.short.read_p90_ms = 0;
    let engine = open(&store, vec![], config);
    assert_eq!(offer(&engine, 0, 200, 5).await, [Rung::Full]);
}

#[tokio::test(start_paused = true)]
async fn background_tasks_rest_while_the_node_is_degraded() {
    let store = Store::new(2, 256);
    let mut config = Config { purge_interval_s: 1, estimate_interval_s: 1, ..permits(2) };
    config.peak.requests_per_second = 0;
    let engine = open(&store, vec![], config);
    store.set(Mood::Takes(millis(300)));
    offer(&engine, 0, 200, 5).await;
    assert_eq!(engine.rung(), Rung::Stale);
    let calls = || {
        let counted = store.counted();
        (counted.purges, counted.estimates)
    };
    let before = calls();
    assert_eq!(offer(&engine, 1 << 32, 200, 10).await, [Rung::Stale]);
    assert_eq!(calls(), before);
}

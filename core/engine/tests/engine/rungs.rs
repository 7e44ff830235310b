//! The ladder: what brings the node onto each rung, what it does there, and how it comes back.

use crate::doubles::{Ledger, Mood, Store, addresses, caller, key, millis, open, peer, permits};
use hydra_api::{Rung, Verdict};
use hydra_engine::{Announced, Config, Desk, Ended, Ending, ReadCache, Source};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Reads keys that nobody asked for before, at this rate and each in its own task; the rungs that the node stood on,
/// each change once.
async fn offer(desk: &Arc<Desk>, first: u64, per_second: u64, seconds: u64) -> Vec<Rung> {
    let mut rungs = vec![desk.rung()];
    for tick in 0..seconds * 100 {
        for number in 0..per_second / 100 {
            let desk = desk.clone();
            let number = first + tick * 1_000 + number;
            tokio::spawn(async move { desk.providers(caller(0), &key(number)).await.unwrap().ended });
        }
        if rungs.last() != Some(&desk.rung()) {
            rungs.push(desk.rung());
        }
        sleep(millis(10)).await;
    }
    rungs
}

fn entered(desk: &Desk, rung: Rung) -> u64 {
    desk.stats().rungs.iter().find(|(of, _)| *of == rung).unwrap().1
}

#[tokio::test(start_paused = true)]
async fn slow_reads_bring_the_node_to_short_and_fast_ones_back() {
    let store = Store::new(100, 256);
    let desk = open(&store, vec![], permits(100));
    store.set(Mood::Takes(millis(120)));
    assert_eq!(offer(&desk, 0, 100, 3).await, [Rung::Full, Rung::Short]);
    let found = desk.providers(caller(0), &key(u64::MAX)).await.unwrap();
    assert_eq!((found.rung, found.ended), (Rung::Short, Ended::Full));
    assert_eq!(store.log().limits.last(), Some(&Config::PROVIDERS_PER_SHORT_ANSWER_MAX));
    store.set(Mood::Takes(millis(1)));
    assert_eq!(offer(&desk, 1 << 32, 100, 4).await, [Rung::Short, Rung::Full]);
    assert_eq!((entered(&desk, Rung::Short), entered(&desk, Rung::Full)), (1, 1), "counted once each");
}

#[tokio::test(start_paused = true)]
async fn on_stale_old_answers_are_given_and_no_read_waits() {
    let store = Store::new(2, 256);
    let desk = open(&store, vec![], permits(2));
    desk.announce(caller(1), &key(7), || addresses(1)).unwrap();
    sleep(millis(600)).await;
    desk.providers(caller(0), &key(7)).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    store.set(Mood::Takes(millis(300)));
    let rungs = offer(&desk, 1_000, 200, 5).await;
    assert!(rungs.contains(&Rung::Stale) && !rungs.contains(&Rung::CacheOnly), "{rungs:?}");
    assert_eq!(desk.rung(), Rung::Stale);
    let begun = Instant::now();
    let found = desk.providers(caller(0), &key(7)).await.unwrap();
    assert_eq!((found.source, found.providers.len()), (Source::StaleCache, 1));
    assert_eq!(desk.providers(caller(0), &key(8)).await.unwrap().ended, Ended::NoPermit);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    store.set(Mood::Takes(millis(1)));
    assert_eq!(offer(&desk, 1 << 32, 100, 6).await, [Rung::Stale, Rung::Short, Rung::Full]);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_store_leaves_what_is_kept() {
    let store = Store::new(1, 256);
    let desk = open(&store, vec![], permits(1));
    desk.announce(caller(1), &key(7), || addresses(1)).unwrap();
    sleep(millis(600)).await;
    desk.providers(caller(0), &key(7)).await.unwrap();
    store.set(Mood::Frozen);
    desk.announce(caller(2), &key(8), || addresses(1)).unwrap();
    sleep(Duration::from_secs(100)).await;
    assert_eq!((desk.rung(), entered(&desk, Rung::CacheOnly)), (Rung::CacheOnly, 1));
    let found = desk.providers(caller(0), &key(7)).await.unwrap();
    assert_eq!((found.rung, found.source, found.providers.len()), (Rung::CacheOnly, Source::StaleCache, 1));
    assert_eq!(desk.providers(caller(0), &key(9)).await.unwrap().ended, Ended::Declined);
    store.set(Mood::Takes(millis(1)));
    let way_down = [Rung::CacheOnly, Rung::Stale, Rung::Short, Rung::Full];
    assert_eq!(offer(&desk, 1 << 32, 100, 6).await, way_down);
}

#[tokio::test(start_paused = true)]
async fn a_filling_ring_brings_the_node_up_before_it_is_full() {
    let store = Store::new(2, 256);
    let config =
        Config { ring_len_max: 1_000, window_len_max: 1_000, flush_interval_ms: 60_000, ..permits(2) };
    let desk = open(&store, vec![], config);
    for (announced, rung) in [(490, Rung::Full), (510, Rung::Short), (860, Rung::Stale)] {
        (desk.load().ring.used.into()..announced)
            .for_each(|number| _ = desk.announce(caller(number), &key(number), || addresses(0)).unwrap());
        sleep(millis(150)).await;
        assert_eq!(desk.rung(), rung);
    }
}

#[tokio::test(start_paused = true)]
async fn known_records_are_not_written_again_on_short_and_stale() {
    for (rung, after_25_hours) in [(Rung::Short, Announced::Taken), (Rung::Stale, Announced::Known)] {
        let degrades = Ledger::new(move |_, _| Verdict::Degrade(rung));
        let store = Store::new(2, 256);
        let desk = open(&store, vec![degrades.named("degrades")], permits(2));
        let announce =
            |provider: u64, told: u64| desk.announce(caller(provider), &key(1), || addresses(told)).unwrap();
        assert_eq!(announce(1, 1), Announced::Taken);
        assert_eq!(announce(1, 1), Announced::Merged, "not in the store yet");
        sleep(millis(600)).await;
        assert_eq!(announce(1, 1), Announced::Known);
        assert_eq!(announce(2, 1), Announced::Taken, "another provider");
        assert_eq!(announce(1, 2), Announced::Taken, "other addresses");
        tokio::time::advance(Duration::from_secs(23 * 3_600)).await;
        sleep(millis(600)).await;
        assert_eq!(announce(2, 1), Announced::Known);
        tokio::time::advance(Duration::from_secs(2 * 3_600)).await;
        assert_eq!(announce(2, 1), after_25_hours);
        tokio::time::advance(Duration::from_secs(24 * 3_600)).await;
        sleep(millis(600)).await;
        let rows: usize = store.log().batches.iter().map(Vec::len).sum();
        let skipped = desk.stats().writes.refreshes_skipped;
        assert_eq!(rows as u64 + skipped, 7 - 1, "each was merged, known or written");
        assert_eq!(desk.stats().requests(hydra_api::Operation::AddProvider, Ending::Known), skipped);
        assert!(store.knows(&key(1), peer(2)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_to_be_written_is_not_taken_for_known() {
    let degrades = Ledger::new(|_, _| Verdict::Degrade(Rung::Stale));
    let store = Store::new(2, 256);
    let config = Config { write_retries_max: 0, ..permits(2) };
    let desk = open(&store, vec![degrades.named("degrades")], config);
    store.set(Mood::Fails);
    for _ in 0..2 {
        assert_eq!(desk.announce(caller(1), &key(1), || addresses(1)).unwrap(), Announced::Taken);
        sleep(Duration::from_secs(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lasting_overload_does_not_make_the_rung_flap() {
    // The store reads 100 keys a second, 40 ms each four; 1,400 keys are asked for in turn. What is kept for 10 seconds
    // leaves too much to it, what is kept for two minutes nothing: calm on stale, overload on any better rung.
    let store = Store::new(1, 4);
    let cache = ReadCache { stale_absent_s: 120, ..ReadCache::default() };
    let desk = open(&store, vec![], Config { cache, ..permits(1) });
    store.set(Mood::Takes(millis(40)));
    let (mut changes, mut rung, mut degraded) = (0, desk.rung(), 0);
    for number in 0..300_000u64 {
        let reader = desk.clone();
        tokio::spawn(async move { reader.providers(caller(0), &key(number % 1_400)).await.unwrap().ended });
        sleep(millis(1)).await;
        changes += u32::from(desk.rung() != rung);
        rung = desk.rung();
        degraded += u32::from(rung >= Rung::Stale);
    }
    assert!(degraded > 200_000, "it is an overload: {degraded}");
    assert!(changes <= 60, "{changes} changes in 300 s");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(desk.rung(), Rung::Full);
}

#[tokio::test(start_paused = true)]
async fn each_rung_can_be_switched_off() {
    let store = Store::new(2, 256);
    let mut config = permits(2);
    config.short.enabled = false;
    store.set(Mood::Takes(millis(300)));
    let desk = open(&store, vec![], config.clone());
    let rungs = offer(&desk, 0, 200, 5).await;
    assert!(rungs.ends_with(&[Rung::Stale]) && !rungs.contains(&Rung::Short), "{rungs:?}");
    config.stale.enabled = false;
    let desk = open(&store, vec![], config.clone());
    assert_eq!(offer(&desk, 0, 200, 5).await, [Rung::Full]);
    // A single signal of a rung, too.
    config.short.enabled = true;
    config.short.denied_percent = 0;
    config.short.read_p90_ms = 0;
    let desk = open(&store, vec![], config);
    assert_eq!(offer(&desk, 0, 200, 5).await, [Rung::Full]);
}

#[tokio::test(start_paused = true)]
async fn the_chores_rest_while_the_node_is_degraded() {
    let store = Store::new(2, 256);
    let mut config = Config { purge_interval_s: 1, estimate_interval_s: 1, ..permits(2) };
    config.peak.requests_per_second = 0;
    let desk = open(&store, vec![], config);
    store.set(Mood::Takes(millis(300)));
    offer(&desk, 0, 200, 5).await;
    assert_eq!(desk.rung(), Rung::Stale);
    let chores = || {
        let log = store.log();
        (log.purges, log.estimates)
    };
    let before = chores();
    assert_eq!(offer(&desk, 1 << 32, 200, 10).await, [Rung::Stale]);
    assert_eq!(chores(), before);
}

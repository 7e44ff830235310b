//! What is kept of the store's answers, for how long, and what a write does to it.

use crate::doubles::{
    FAILS, Ledger, Mood, START, Store, addresses, caller, key, millis, open, peer, permits,
};
use hydra_api::{Addresses, ContentKey, PeerId, ProviderRecord, Rung, Verdict};
use hydra_engine::{Config, Ending, Engine, ReadCache, Reply, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{advance, sleep};

async fn read(engine: &Engine, number: u64) -> Reply {
    engine.providers(caller(99), &key(number)).await.unwrap()
}

fn peers(found: &Reply) -> Vec<PeerId> {
    let mut peers: Vec<PeerId> = found.providers().iter().map(|provider| provider.peer).collect();
    peers.sort();
    peers
}

fn statements(store: &Store) -> usize {
    store.limits().len()
}

async fn announce(engine: &Engine, provider: u64, number: u64, addresses: Addresses) {
    engine.announce(caller(provider), &key(number), || addresses).unwrap();
    sleep(millis(600)).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_through_this_node_is_seen_by_the_next_read_after_its_flush() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    assert!(peers(&read(&engine, 1).await).is_empty());
    announce(&engine, 1, 1, addresses(1)).await;
    assert_eq!(peers(&read(&engine, 1).await), [peer(1)], "it was not kept that there is none");
    let asked = statements(&store);
    announce(&engine, 2, 1, addresses(2)).await;
    announce(&engine, 1, 1, addresses(3)).await;
    let found = read(&engine, 1).await;
    assert_eq!((peers(&found), found.source), (vec![peer(1), peer(2)], Source::Cache));
    assert_eq!(found.providers()[0].peer, peer(1), "the freshest first");
    assert_eq!(found.providers()[0].addresses, addresses(3));
    assert_eq!(statements(&store), asked, "what is kept was brought up to date");
    // Without addresses the known ones stay; where none are known, the store is asked.
    announce(&engine, 1, 1, Addresses::none()).await;
    assert_eq!(read(&engine, 1).await.providers()[0].addresses, addresses(3));
    assert_eq!(statements(&store), asked);
    announce(&engine, 3, 1, Addresses::none()).await;
    let found = read(&engine, 1).await;
    assert_eq!((peers(&found).len(), found.source), (3, Source::Store));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_leaves_what_is_cached_and_is_seen_all_the_same() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    announce(&engine, 1, 1, addresses(1)).await;
    assert_eq!(read(&engine, 1).await.source, Source::Store);
    store.set_writes(FAILS);
    announce(&engine, 2, 1, addresses(2)).await;
    announce(&engine, 3, 2, addresses(3)).await;
    let asked = statements(&store);
    let found = read(&engine, 1).await;
    assert_eq!((found.source, peers(&found)), (Source::Cache, vec![peer(1), peer(2)]));
    assert_eq!(peers(&read(&engine, 2).await), [peer(3)], "a key that was not cached, from the queue");
    assert_eq!(statements(&store), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn a_hot_key_that_is_written_and_read_keeps_one_flight_and_stays_cached() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    sleep(millis(10)).await;
    store.answer_as_of_the_beginning();
    store.set_reads(Mood::Takes(millis(240)));
    let mut readers = Vec::new();
    for round in 0..20 {
        engine.announce(caller(round), &key(1), || addresses(round)).unwrap();
        let engine = engine.clone();
        readers
            .push(tokio::spawn(async move { (round, engine.providers(caller(99), &key(1)).await.unwrap()) }));
        sleep(millis(11)).await;
    }
    for reader in readers {
        let (round, found) = reader.await.unwrap();
        assert_eq!(found.ending, Ending::Served);
        // Each sees at least what was announced before it asked.
        assert!((0..=round).all(|provider| peers(&found).contains(&peer(provider))), "reader {round}");
    }
    assert_eq!(statements(&store), 1, "one flight, though the records were written meanwhile");
    assert_eq!(engine.stats().writes.written + u64::from(engine.load().write_queue.used), 20);
    engine.announce(caller(20), &key(1), || addresses(20)).unwrap();
    let found = read(&engine, 1).await;
    assert_eq!((found.source, peers(&found).len()), (Source::Cache, 21));
    sleep(millis(1_000)).await;
    assert_eq!(peers(&read(&engine, 1).await).len(), 21, "what landed does not undo what came later");
    assert_eq!(statements(&store), 1);
}

#[tokio::test(start_paused = true)]
async fn the_late_result_fills_the_cache() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    announce(&engine, 1, 1, addresses(1)).await;
    store.set(Mood::Takes(millis(400)));
    assert_eq!(read(&engine, 1).await.ending, Ending::Late);
    sleep(millis(200)).await;
    let found = read(&engine, 1).await;
    assert_eq!((found.source, peers(&found)), (Source::Cache, vec![peer(1)]));
    assert_eq!(statements(&store), 1);
}

#[tokio::test(start_paused = true)]
async fn kept_answers_expire() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    announce(&engine, 1, 1, addresses(1)).await;
    read(&engine, 1).await;
    sleep(Duration::from_secs(29)).await;
    assert_eq!(read(&engine, 1).await.source, Source::Cache);
    // Another process writes to the same store.
    let other = ProviderRecord {
        key: ContentKey::new(&key(1)).unwrap(),
        provider: peer(2),
        addresses: addresses(2),
        expires: hydra_api::UnixSeconds(u32::MAX),
    };
    store.put(other, crate::doubles::START);
    sleep(Duration::from_secs(2)).await;
    let found = read(&engine, 1).await;
    assert_eq!((found.source, peers(&found).len()), (Source::Store, 2));
    assert_eq!(engine.stats().reads.hits, 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_expires_while_it_is_kept_is_not_served() {
    let store = Store::new(4, 256);
    let cache = ReadCache { fresh_s: 3_600, ..ReadCache::default() };
    let engine = open(&store, vec![], Config { record_ttl_hours: 1, cache, ..permits(4) });
    announce(&engine, 1, 1, addresses(1)).await;
    advance(Duration::from_secs(600)).await;
    assert_eq!(read(&engine, 1).await.providers().len(), 1);
    advance(Duration::from_secs(3_000)).await;
    let found = read(&engine, 1).await;
    assert_eq!((found.source, found.providers().len()), (Source::Cache, 0));
}

#[tokio::test(start_paused = true)]
async fn when_the_store_does_not_answer_what_is_kept_is_given_for_longer() {
    let store = Store::new(1, 256);
    let mut config = permits(1);
    config.short.enabled = false;
    config.stale.enabled = false;
    let engine = open(&store, vec![], config);
    announce(&engine, 1, 1, addresses(1)).await;
    read(&engine, 1).await;
    sleep(Duration::from_secs(35)).await;
    store.set(FAILS);
    let found = read(&engine, 1).await;
    assert_eq!((found.ending, found.source, found.rung), (Ending::Served, Source::StaleCache, Rung::Stale));
    store.set(Mood::Takes(millis(300)));
    assert_eq!(read(&engine, 1).await.source, Source::StaleCache, "late");
    assert_eq!(read(&engine, 2).await.ending, Ending::NoPermit);
    assert_eq!(engine.stats().reads.stale_hits, 2);
    // Not for ever.
    store.set(FAILS);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(read(&engine, 1).await.ending, Ending::StoreFailed);
}

#[tokio::test(start_paused = true)]
async fn an_answer_cut_short_is_not_enough_for_who_may_have_more() {
    let store = Store::new(4, 4_096);
    let config = Config { providers_per_answer_max: 20, providers_per_short_answer_max: 5, ..permits(4) };
    let short = crate::doubles::Ledger::new(|request, _| match request.peer == peer(7) {
        true => hydra_api::Verdict::Degrade(Rung::Short),
        false => hydra_api::Verdict::Admit,
    });
    let engine = open(&store, vec![short.named("short")], config);
    (0..20).for_each(|number| _ = engine.announce(caller(number), &key(1), || addresses(number)).unwrap());
    sleep(millis(600)).await;
    let short = engine.providers(caller(7), &key(1)).await.unwrap();
    assert_eq!((short.providers().len(), short.rung), (5, Rung::Short));
    let full = read(&engine, 1).await;
    assert_eq!((full.providers().len(), full.source), (20, Source::Store));
    let short = engine.providers(caller(7), &key(1)).await.unwrap();
    assert_eq!((short.providers().len(), short.source), (5, Source::Cache));
}

#[tokio::test(start_paused = true)]
async fn a_cache_switched_off_asks_the_store_each_time() {
    let store = Store::new(4, 256);
    let cache = ReadCache { mib_max: 0, ..ReadCache::default() };
    let engine: Arc<Engine> = open(&store, vec![], Config { cache, ..permits(4) });
    for _ in 0..3 {
        assert_eq!(read(&engine, 1).await.source, Source::Store);
    }
    assert_eq!(statements(&store), 3);
}

/// As of those behind a relay. Of one that waits to be written the store has no addresses to tell yet.
#[tokio::test(start_paused = true)]
async fn a_hot_key_that_is_announced_without_addresses_stays_cached() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    store.set(Mood::Takes(millis(10)));
    announce(&engine, 1, 1, addresses(1)).await;
    let asked = statements(&store);
    for tick in 0..1_000 {
        if tick % 20 == 0 {
            engine.announce(caller(100 + tick), &key(1), Addresses::none).unwrap();
        }
        let reader = engine.clone();
        tokio::spawn(async move { read(&reader, 1).await });
        sleep(millis(10)).await;
    }
    let asked = statements(&store) - asked;
    assert!(asked <= 20, "{asked} reads of one key in ten seconds");
    assert_eq!(read(&engine, 1).await.providers().len(), 51);
}

/// A record of an answer that is kept has expired, and a degraded request gets a part of the rest.
#[tokio::test(start_paused = true)]
async fn an_answer_is_trimmed_once_and_not_at_each_hit() {
    let store = Store::new(2, 16);
    let degrades = Arc::new(AtomicBool::new(false));
    let seen = degrades.clone();
    let policy = Ledger::new(move |_, _| match seen.load(Ordering::Relaxed) {
        true => Verdict::Degrade(Rung::Short),
        false => Verdict::Admit,
    });
    let mut config = Config { providers_per_short_answer_max: 4, ..permits(2) };
    config.cache.fresh_s = 600;
    let engine = open(&store, vec![policy.named("degrades")], config);
    for provider in 0..10 {
        let expires = START.saturating_add(Duration::from_secs(if provider == 0 { 30 } else { 3_600 }));
        let key = ContentKey::new(&key(1)).unwrap();
        store.put(ProviderRecord { key, provider: peer(provider), addresses: addresses(0), expires }, START);
    }
    assert_eq!(read(&engine, 1).await.providers().len(), 10);
    sleep(Duration::from_secs(60)).await;
    degrades.store(true, Ordering::Relaxed);
    let [first, second] = [read(&engine, 1).await, read(&engine, 1).await].map(|reply| reply.answer.unwrap());
    assert_eq!((first.providers().len(), statements(&store)), (4, 1));
    assert!(Arc::ptr_eq(&first, &second), "made anew");
    degrades.store(false, Ordering::Relaxed);
    assert_eq!(read(&engine, 1).await.providers().len(), 9);
}

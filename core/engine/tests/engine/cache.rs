//! What is kept of the store's answers, for how long, and what a write does to it.

use crate::doubles::{Mood, Store, addresses, caller, key, millis, open, peer, permits};
use hydra_api::{Addresses, ContentKey, PeerId, ProviderRecord, ProviderStore, Rung};
use hydra_engine::{Config, Desk, Ended, Found, ReadCache, Source};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{advance, sleep};

async fn read(desk: &Desk, number: u64) -> Found {
    desk.providers(caller(99), &key(number)).await.unwrap()
}

fn peers(found: &Found) -> Vec<PeerId> {
    let mut peers: Vec<PeerId> = found.providers.iter().map(|provider| provider.peer).collect();
    peers.sort();
    peers
}

fn statements(store: &Store) -> usize {
    store.log().limits.len()
}

async fn announce(desk: &Desk, provider: u64, number: u64, addresses: Addresses) {
    desk.announce(caller(provider), &key(number), || addresses).unwrap();
    sleep(millis(600)).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_through_this_node_is_seen_by_the_next_read_after_its_flush() {
    let store = Store::new(4, 256);
    let desk = open(&store, vec![], permits(4));
    assert!(peers(&read(&desk, 1).await).is_empty());
    announce(&desk, 1, 1, addresses(1)).await;
    assert_eq!(peers(&read(&desk, 1).await), [peer(1)], "it was not kept that there is none");
    let asked = statements(&store);
    announce(&desk, 2, 1, addresses(2)).await;
    announce(&desk, 1, 1, addresses(3)).await;
    let found = read(&desk, 1).await;
    assert_eq!((peers(&found), found.source), (vec![peer(1), peer(2)], Source::Cache));
    assert_eq!(found.providers[0].peer, peer(1), "the freshest first");
    assert_eq!(found.providers[0].addresses, addresses(3));
    assert_eq!(statements(&store), asked, "what is kept was brought up to date");
    // Without addresses the known ones stay; where none are known, the store is asked.
    announce(&desk, 1, 1, Addresses::none()).await;
    assert_eq!(read(&desk, 1).await.providers[0].addresses, addresses(3));
    assert_eq!(statements(&store), asked);
    announce(&desk, 3, 1, Addresses::none()).await;
    let found = read(&desk, 1).await;
    assert_eq!((peers(&found).len(), found.source), (3, Source::Store));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_may_have_failed_makes_the_store_be_asked() {
    let store = Store::new(4, 256);
    let desk = open(&store, vec![], permits(4));
    announce(&desk, 1, 1, addresses(1)).await;
    assert_eq!(read(&desk, 1).await.source, Source::Store);
    assert_eq!(read(&desk, 1).await.source, Source::Cache);
    store.set(Mood::Fails);
    announce(&desk, 2, 1, addresses(2)).await;
    store.set(Mood::Takes(Duration::ZERO));
    assert_eq!(read(&desk, 1).await.source, Source::Store);
}

#[tokio::test(start_paused = true)]
async fn what_a_reading_brings_that_began_before_a_write_is_not_kept_after_it() {
    let store = Store::new(4, 256);
    let desk = open(&store, vec![], permits(4));
    sleep(millis(10)).await;
    desk.announce(caller(1), &key(1), || addresses(1)).unwrap();
    store.set(Mood::Takes(millis(700)));
    let early = tokio::spawn({
        let desk = desk.clone();
        async move { read(&desk, 1).await.ended }
    });
    sleep(millis(10)).await;
    store.set(Mood::Takes(Duration::ZERO));
    sleep(millis(550)).await;
    assert!(store.knows(&key(1), peer(1)), "written while the reading is under way");
    assert_eq!(early.await.unwrap(), Ended::Late);
    assert_eq!(peers(&read(&desk, 1).await), [peer(1)], "a new reading, not that one joined");
    assert_eq!(statements(&store), 2);
    // The early one lands, and does not take the place of the newer.
    sleep(millis(500)).await;
    assert_eq!(read(&desk, 1).await.source, Source::Cache);
}

#[tokio::test(start_paused = true)]
async fn the_late_result_fills_the_cache() {
    let store = Store::new(4, 256);
    let desk = open(&store, vec![], permits(4));
    announce(&desk, 1, 1, addresses(1)).await;
    store.set(Mood::Takes(millis(400)));
    assert_eq!(read(&desk, 1).await.ended, Ended::Late);
    sleep(millis(200)).await;
    let found = read(&desk, 1).await;
    assert_eq!((found.source, peers(&found)), (Source::Cache, vec![peer(1)]));
    assert_eq!(statements(&store), 1);
}

#[tokio::test(start_paused = true)]
async fn kept_answers_expire() {
    let store = Store::new(4, 256);
    let desk = open(&store, vec![], permits(4));
    announce(&desk, 1, 1, addresses(1)).await;
    read(&desk, 1).await;
    sleep(Duration::from_secs(29)).await;
    assert_eq!(read(&desk, 1).await.source, Source::Cache);
    // Another process writes to the same store.
    let other = ProviderRecord {
        key: ContentKey::new(&key(1)).unwrap(),
        provider: peer(2),
        addresses: addresses(2),
        expires: hydra_api::UnixSeconds(u32::MAX),
    };
    let now = crate::doubles::START;
    store.insert(&[other], now).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    let found = read(&desk, 1).await;
    assert_eq!((found.source, peers(&found).len()), (Source::Store, 2));
    assert_eq!(desk.stats().reads.hits, 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_expires_while_it_is_kept_is_not_served() {
    let store = Store::new(4, 256);
    let cache = ReadCache { fresh_s: 3_600, ..ReadCache::default() };
    let desk = open(&store, vec![], Config { record_ttl_hours: 1, cache, ..permits(4) });
    announce(&desk, 1, 1, addresses(1)).await;
    advance(Duration::from_secs(600)).await;
    assert_eq!(read(&desk, 1).await.providers.len(), 1);
    advance(Duration::from_secs(3_000)).await;
    let found = read(&desk, 1).await;
    assert_eq!((found.source, found.providers.len()), (Source::Cache, 0));
}

#[tokio::test(start_paused = true)]
async fn when_the_store_does_not_answer_what_is_kept_is_given_for_longer() {
    let store = Store::new(1, 256);
    let mut config = permits(1);
    config.short.enabled = false;
    config.stale.enabled = false;
    let desk = open(&store, vec![], config);
    announce(&desk, 1, 1, addresses(1)).await;
    read(&desk, 1).await;
    sleep(Duration::from_secs(35)).await;
    store.set(Mood::Fails);
    let found = read(&desk, 1).await;
    assert_eq!((found.ended, found.source, found.rung), (Ended::Full, Source::StaleCache, Rung::Stale));
    store.set(Mood::Takes(millis(300)));
    assert_eq!(read(&desk, 1).await.source, Source::StaleCache, "late");
    assert_eq!(read(&desk, 2).await.ended, Ended::NoPermit);
    assert_eq!(desk.stats().reads.stale_hits, 2);
    // Not for ever.
    store.set(Mood::Fails);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(read(&desk, 1).await.ended, Ended::StoreFailed);
}

#[tokio::test(start_paused = true)]
async fn an_answer_cut_short_is_not_enough_for_who_may_have_more() {
    let store = Store::new(4, 4_096);
    let config = Config { providers_per_answer_max: 20, providers_per_short_answer_max: 5, ..permits(4) };
    let short = crate::doubles::Ledger::new(|request, _| match request.peer == peer(7) {
        true => hydra_api::Verdict::Degrade(Rung::Short),
        false => hydra_api::Verdict::Admit,
    });
    let desk = open(&store, vec![short.named("short")], config);
    (0..20).for_each(|number| _ = desk.announce(caller(number), &key(1), || addresses(number)).unwrap());
    sleep(millis(600)).await;
    let short = desk.providers(caller(7), &key(1)).await.unwrap();
    assert_eq!((short.providers.len(), short.rung), (5, Rung::Short));
    let full = read(&desk, 1).await;
    assert_eq!((full.providers.len(), full.source), (20, Source::Store));
    let short = desk.providers(caller(7), &key(1)).await.unwrap();
    assert_eq!((short.providers.len(), short.source), (5, Source::Cache));
}

#[tokio::test(start_paused = true)]
async fn a_cache_switched_off_asks_the_store_each_time() {
    let store = Store::new(4, 256);
    let cache = ReadCache { mib_max: 0, ..ReadCache::default() };
    let desk: Arc<Desk> = open(&store, vec![], Config { cache, ..permits(4) });
    for _ in 0..3 {
        assert_eq!(read(&desk, 1).await.source, Source::Store);
    }
    assert_eq!(statements(&store), 3);
}

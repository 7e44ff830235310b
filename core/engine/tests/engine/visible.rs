//! What was taken is seen by every read of this process from then on, wherever it waits and on every rung that reads.

use crate::doubles::{FAILS, Ledger, Mood, Store, addresses, caller, key, millis, open, peer, permits};
use hydra_api::{Addresses, PeerId, Rung, Verdict};
use hydra_engine::{Caller, Config, Ending, Engine, ReadCache, Reply, Source};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

async fn read(engine: &Engine, head: u32, number: u64) -> Reply {
    engine.providers(Caller { head, ..caller(99) }, &key(number)).await.unwrap()
}

fn peers(reply: &Reply) -> Vec<PeerId> {
    let mut peers: Vec<PeerId> = reply.providers().iter().map(|provider| provider.peer).collect();
    peers.sort();
    peers
}

fn take(engine: &Engine, provider: u64, number: u64) {
    let taken = engine.announce(caller(provider), &key(number), || addresses(provider));
    assert_eq!(taken, Ok(Ending::Served));
}

#[tokio::test(start_paused = true)]
async fn an_announcement_is_found_at_once_at_every_head() {
    let engine = open(&Store::new(4, 256), vec![], permits(4));
    take(&engine, 1, 1);
    for head in 0..3 {
        let found = read(&engine, head, 1).await;
        assert_eq!((found.ending, peers(&found)), (Ending::Served, vec![peer(1)]));
        assert_eq!(found.providers()[0].addresses, addresses(1));
    }
    assert_eq!(engine.stats().statements.writes, 0, "it is not written yet");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_cached_as_absent_or_with_others_shows_it_at_once() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    assert!(read(&engine, 0, 1).await.providers().is_empty());
    for provider in 1..=3 {
        take(&engine, provider, 1);
        let found = read(&engine, 1, 1).await;
        let all: Vec<PeerId> = (1..=provider).map(peer).collect();
        assert_eq!((peers(&found), found.source), (all, Source::Cache));
    }
    assert_eq!(store.limits().len(), 1, "the store was asked once");
}

#[tokio::test(start_paused = true)]
async fn a_read_in_flight_shows_what_was_taken_before_it_and_while_it_is_under_way() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    sleep(millis(10)).await;
    store.answer_as_of_the_beginning();
    store.set_reads(Mood::Takes(millis(200)));
    take(&engine, 1, 1);
    let early = tokio::spawn({
        let engine = engine.clone();
        async move { read(&engine, 0, 1).await }
    });
    sleep(millis(50)).await;
    take(&engine, 2, 1);
    let late = read(&engine, 1, 1).await;
    assert_eq!((peers(&late), late.source), (vec![peer(1), peer(2)], Source::Shared));
    assert!(peers(&early.await.unwrap()).contains(&peer(1)));
}

#[tokio::test(start_paused = true)]
async fn a_record_is_seen_while_it_is_being_written_and_after() {
    let store = Store::new(4, 256);
    let cache = ReadCache { mib_max: 0, ..ReadCache::default() };
    let engine = open(&store, vec![], Config { cache, ..permits(4) });
    store.set_writes(Mood::Frozen);
    take(&engine, 1, 1);
    sleep(millis(700)).await;
    assert_eq!(engine.stats().statements.writes, 1, "it is being written");
    assert_eq!(peers(&read(&engine, 0, 1).await), [peer(1)]);
    // Announced again meanwhile, with other addresses.
    engine.announce(caller(1), &key(1), || addresses(7)).unwrap();
    let found = read(&engine, 0, 1).await;
    assert_eq!((peers(&found), &found.providers()[0].addresses), (vec![peer(1)], &addresses(7)));
    store.set_writes(Mood::Takes(millis(1)));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(engine.load().write_queue.used, 0);
    assert_eq!(read(&engine, 0, 1).await.providers()[0].addresses, addresses(7));
}

#[tokio::test(start_paused = true)]
async fn it_is_seen_on_every_rung_that_reads_at_all() {
    for rung in [Rung::Short, Rung::Stale, Rung::CacheOnly] {
        let degrades = Ledger::new(move |_, _| Verdict::Degrade(rung));
        let store = Store::new(4, 256);
        store.set_reads(Mood::Takes(millis(900)));
        let engine = open(&store, vec![degrades.named("degrades")], permits(4));
        take(&engine, 1, 1);
        let found = read(&engine, 0, 1).await;
        assert_eq!(peers(&found), [peer(1)], "{rung}");
        assert_eq!(found.source, Source::WriteQueue, "{rung}");
        assert_ne!(found.ending, Ending::Served, "what the store has is not known: {rung}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_seen_whatever_the_store_does() {
    for mood in [FAILS, Mood::Panics, Mood::Frozen] {
        let store = Store::new(2, 256);
        let engine = open(&store, vec![], permits(2));
        store.set(mood);
        for round in 0..40 {
            take(&engine, 1, round);
            assert_eq!(peers(&read(&engine, 0, round).await), [peer(1)], "{mood:?}");
            sleep(millis(100)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_announcement_without_addresses_shows_the_bare_id_and_then_what_the_store_knows() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    take(&engine, 1, 1);
    sleep(millis(700)).await;
    assert!(read(&engine, 0, 2).await.providers().is_empty());
    engine.announce(caller(1), &key(2), Addresses::none).unwrap();
    assert_eq!(peers(&read(&engine, 0, 2).await), [peer(1)]);
    sleep(millis(700)).await;
    assert_eq!(read(&engine, 0, 2).await.providers()[0].addresses, addresses(1), "those of the provider");
}

/// Every reader that asks after an announcement was taken finds it, with writes, landings and refreshes in all orders.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_find_what_each_has_announced() {
    let store = Store::new(4, 16);
    let mut config = Config { flush_interval_ms: 10, flush_interval_min_ms: 1, ..permits(4) };
    config.cache = ReadCache { fresh_s: 0, fresh_absent_s: 0, ..config.cache };
    let engine: Arc<Engine> = open(&store, vec![], config);
    let client = |number: u64| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for round in 0..400 {
                let shared = round % 5;
                take(&engine, number, shared);
                let found = read(&engine, 0, shared).await;
                assert!(
                    peers(&found).contains(&peer(number)),
                    "round {round}: {:?} {:?}",
                    found.ending,
                    found.source
                );
            }
        })
    };
    for client in (0..16).map(client).collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

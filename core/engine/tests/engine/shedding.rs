//! Announcements that are dropped by their worth, and by how many providers a key has.

use crate::doubles::{Ledger, Mood, OneInFour, Store, addresses, caller, key, millis, open, permits};
use hydra_api::{Addresses, Rung, Verdict};
use hydra_engine::{Config, Ending, Engine, NearOnly, Shares, Shedding};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

fn degraded(store: &Arc<Store>, rung: Rung, config: Config) -> Arc<Engine> {
    let degrades = Ledger::new(move |_, _| Verdict::Degrade(rung));
    let engine = open(store, vec![degrades.named("degrades")], config);
    engine.set_nearness(Arc::new(OneInFour));
    engine
}

fn shed(engine: &Engine) -> Vec<(&'static str, u64)> {
    engine.stats().writes.shed.into_iter().filter(|(_, shed)| *shed > 0).collect()
}

#[tokio::test(start_paused = true)]
async fn each_rung_takes_what_is_worth_enough() {
    let [near, far] = OneInFour::numbers(0);
    // A refresh with less than a day left, which is written again on the rung short.
    for (rung, refreshes, far_new) in [
        (Rung::Full, Ending::Served, Ending::Served),
        (Rung::Short, Ending::Served, Ending::Served),
        (Rung::Stale, Ending::Known, Ending::Served),
        (Rung::NearOnly, Ending::Known, Ending::Shed),
        (Rung::CacheOnly, Ending::Known, Ending::Shed),
    ] {
        let store = Store::new(2, 256);
        let degrade = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let degrades = Ledger::new({
            let degrade = degrade.clone();
            move |_, _| match degrade.load(std::sync::atomic::Ordering::Relaxed) {
                true => Verdict::Degrade(rung),
                false => Verdict::Admit,
            }
        });
        let engine = open(&store, vec![degrades.named("degrades")], permits(2));
        engine.set_nearness(Arc::new(OneInFour));
        let announce =
            |provider, number| engine.announce(caller(provider), &key(number), Addresses::none).unwrap();
        assert_eq!([announce(1, near), announce(1, far)], [Ending::Served; 2]);
        sleep(millis(600)).await;
        tokio::time::advance(Duration::from_secs(25 * 3_600)).await;
        sleep(millis(600)).await;
        degrade.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(announce(1, near), refreshes, "{rung}");
        assert_eq!((announce(2, near), announce(2, far)), (Ending::Served, far_new), "{rung}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_cache_knows_is_a_refresh_too() {
    let store = Store::new(2, 256);
    // Nothing is remembered of writes, as after a restart.
    let engine = degraded(&store, Rung::Stale, Config { recent_writes_max: 0, ..permits(2) });
    let [near, _] = OneInFour::numbers(0);
    let announce = |told| engine.announce(caller(1), &key(near), || addresses(told)).unwrap();
    assert_eq!(announce(1), Ending::Served);
    sleep(millis(600)).await;
    assert_eq!(announce(1), Ending::Served, "it is not known");
    sleep(millis(600)).await;
    assert_eq!(engine.providers(caller(9), &key(near)).await.unwrap().providers().len(), 1);
    assert_eq!(announce(1), Ending::Shed);
    assert_eq!(announce(2), Ending::Served, "other addresses are news");
    assert_eq!(shed(&engine), [("near_refresh", 1)]);
}

/// Of a share, the same peers lose for an hour, and others in the next; over a day nobody loses much more than others.
#[tokio::test(start_paused = true)]
async fn not_always_the_same_peers_lose() {
    let half = Shares { far_new_percent: 50, ..Shares::NONE };
    let shedding = Shedding { stale: half, ..Shedding::default() };
    let store = Store::new(2, 256);
    let engine = degraded(&store, Rung::Stale, Config { shedding, ..permits(2) });
    let mut lost = [0; 100];
    let mut number = 0;
    for _ in 0..48 {
        for (peer, lost) in lost.iter_mut().enumerate() {
            let mut endings = Vec::new();
            for _ in 0..3 {
                number = OneInFour::numbers(number + 1)[1];
                endings.push(engine.announce(caller(peer as u64), &key(number), || addresses(1)).unwrap());
            }
            endings.dedup();
            assert_eq!(endings.len(), 1, "all of an hour or none: {endings:?}");
            *lost += u32::from(endings == [Ending::Shed]);
        }
        tokio::time::advance(Duration::from_secs(3_600)).await;
    }
    assert!(lost.iter().all(|hours| (6..=42).contains(hours)), "{lost:?}");
    let all: u32 = lost.iter().sum();
    assert!((2_100..=2_700).contains(&all), "{all} of 4800");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_fills_drops_what_is_worth_least_and_takes_near_keys_to_the_end() {
    let store = Store::new(2, 256);
    let mut config =
        Config { write_queue_len_max: 1_000, window_len_max: 1_000, flush_interval_ms: 60_000, ..permits(2) };
    // The rungs do not count here.
    (config.short.enabled, config.stale.enabled, config.near_only.enabled) = (false, false, false);
    let engine = open(&store, vec![], config);
    engine.set_nearness(Arc::new(OneInFour));
    store.set_writes(Mood::Frozen);
    let mut number = 0;
    let mut next = |near: bool| {
        number = OneInFour::numbers(number + 1)[usize::from(!near)];
        engine.announce(caller(number), &key(number), || addresses(1)).unwrap()
    };
    for _ in 0..1_500 {
        next(false);
    }
    let filled = engine.load().write_queue.used;
    assert!((850..940).contains(&filled), "far keys fill the queue to {filled}");
    assert_eq!(engine.stats().writes.dropped_queue_full, 0);
    for _ in filled..1_000 {
        assert_eq!(next(true), Ending::Served);
    }
    assert_eq!(next(true), Ending::QueueFull);
    assert!(shed(&engine).iter().all(|(rank, _)| *rank == "far_new"));
}

#[tokio::test(start_paused = true)]
async fn a_key_takes_no_more_providers_than_it_may_have_and_all_refreshes() {
    let store = Store::new(2, 256);
    let engine = open(&store, vec![], Config { providers_per_key_max: 5, ..permits(2) });
    let announce =
        |provider, number| engine.announce(caller(provider), &key(number), || addresses(1)).unwrap();
    assert!((0..5).all(|provider| announce(provider, 1) == Ending::Served));
    assert_eq!([announce(5, 1), announce(5, 2)], [Ending::KeyFull, Ending::Served], "another key has room");
    assert!((0..5).all(|provider| announce(provider, 1) == Ending::Served), "those that wait are refreshed");
    // And those that are written, a day later as well.
    for _ in 0..4 {
        sleep(millis(600)).await;
        tokio::time::advance(Duration::from_secs(22 * 3_600)).await;
        sleep(millis(600)).await;
        assert!((0..5).all(|provider| announce(provider, 1) == Ending::Served));
        assert_eq!(announce(5, 1), Ending::KeyFull);
    }
    assert_eq!(engine.stats().writes.dropped_key_full, 5);
    // Records that are not announced again make room.
    for _ in 0..4 {
        tokio::time::advance(Duration::from_secs(24 * 3_600)).await;
        sleep(millis(600)).await;
    }
    assert_eq!(announce(5, 1), Ending::Served);
}

/// A node that does not remember, as after a restart, goes by what the store says.
#[tokio::test(start_paused = true)]
async fn what_the_store_has_counts_as_well() {
    let store = Store::new(2, 256);
    let first = open(&store, vec![], permits(2));
    for provider in 0..5 {
        first.announce(caller(provider), &key(1), || addresses(1)).unwrap();
    }
    sleep(millis(600)).await;
    let engine = open(&store, vec![], Config { providers_per_key_max: 5, ..permits(2) });
    assert_eq!(engine.providers(caller(9), &key(1)).await.unwrap().providers().len(), 5);
    let announce = |provider| engine.announce(caller(provider), &key(1), || addresses(1)).unwrap();
    assert_eq!([announce(9), announce(3)], [Ending::KeyFull, Ending::Served]);
}

#[tokio::test(start_paused = true)]
async fn near_only_has_a_strict_limit_of_its_own() {
    let [near, _] = OneInFour::numbers(0);
    let strict = u64::from(NearOnly::PROVIDERS_PER_KEY_MAX);
    for (rung, taken) in [(Rung::Stale, 100), (Rung::NearOnly, strict), (Rung::CacheOnly, strict)] {
        let store = Store::new(2, 256);
        let engine = degraded(&store, rung, permits(2));
        let endings =
            (0..100).map(|provider| engine.announce(caller(provider), &key(near), || addresses(1)).unwrap());
        let served = endings.filter(|ending| *ending == Ending::Served).count() as u64;
        assert_eq!((served, engine.stats().writes.dropped_key_full), (taken, 100 - taken));
    }
}

/// A provider that announces again while its record is being written is one provider.
#[tokio::test(start_paused = true)]
async fn a_provider_that_announces_during_a_slow_insert_counts_once() {
    let store = Store::new(2, 256);
    let engine = open(&store, vec![], Config { providers_per_key_max: 4, ..permits(2) });
    let announce = |provider| engine.announce(caller(provider), &key(1), || addresses(1)).unwrap();
    store.set_writes(Mood::Frozen);
    assert_eq!([announce(0), announce(1)], [Ending::Served; 2]);
    sleep(millis(600)).await;
    // The same two, at other heads of the node or once more.
    assert_eq!([announce(0), announce(1)], [Ending::Served; 2]);
    assert_eq!([announce(2), announce(3), announce(4)], [Ending::Served, Ending::Served, Ending::KeyFull]);
}

/// What the store did not take is no provider of the key.
#[tokio::test(start_paused = true)]
async fn what_the_store_has_dropped_does_not_count() {
    let memory = crate::doubles::memory();
    let full = std::sync::Arc::new(hydra_conformance::doubles::DropsSome::new(memory, 1_000, 1));
    let config = Config { providers_per_key_max: 4, ..permits(2) };
    let engine = crate::doubles::open_store(full, vec![], config, None);
    let announce = |provider| engine.announce(caller(provider), &key(1), || addresses(1)).unwrap();
    for _ in 0..5 {
        assert_eq!(announce(0), Ending::Served);
        sleep(millis(600)).await;
    }
    assert_eq!(engine.stats().writes.dropped_no_room, 5);
    assert_eq!(announce(1), Ending::Served, "the store has no provider of this key");
}

//! A store keeps provider records and value records in tables of their own: one that fails pauses no call for the other.

use crate::doubles::{addresses, caller, key, memory, millis, open_store, permits};
use crate::names::Name;
use crate::values::{get, put};
use hydra_api::{Rung, StoreErrorKind};
use hydra_conformance::doubles::{Calls, FailingStore};
use hydra_engine::{Ending, Engine, Put, Source};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// An engine over a store of which these calls fail, and the store.
fn failing(calls: Calls) -> (Arc<FailingStore>, Arc<Engine>) {
    let store = Arc::new(FailingStore::new(memory(), StoreErrorKind::Unavailable, 1_000, 1));
    store.set_calls(calls);
    (store.clone(), open_store(store, vec![], permits(4), None))
}

async fn use_values(engine: &Engine, round: u64) {
    let name = Name::of((round % 250) as u8);
    get(engine, &name).await;
    put(engine, &name, &name.record(round)).await;
}

async fn use_providers(engine: &Engine, round: u64) -> (Ending, Rung, Source) {
    let key = key(round);
    engine.announce(caller(round), &key, || addresses(round)).unwrap();
    sleep(millis(100)).await;
    let reply = engine.providers(caller(round), &key).await.unwrap();
    (reply.ending, reply.rung, reply.source)
}

/// Whether calls of this lane are paused, and how often they were.
fn lane(engine: &Engine, name: &str) -> (bool, u64) {
    let lanes = engine.stats().lanes;
    let lane = lanes.iter().find(|lane| lane.name == name).unwrap();
    (lane.is_paused, lane.pauses)
}

#[tokio::test(start_paused = true)]
async fn values_that_fail_pause_no_call_for_providers() {
    let (_store, engine) = failing(Calls::OfValues);
    for round in 0..300 {
        for turn in 0..5 {
            use_values(&engine, 5 * round + turn).await;
        }
        let (ending, rung, _) = use_providers(&engine, round).await;
        assert_eq!((ending, rung), (Ending::Served, Rung::Full), "round {round}");
        assert!(engine.health().paused.is_none(), "round {round}");
        // What is not there is read from the store.
        let reply = engine.providers(caller(1), &key(1_000_000 + round)).await.unwrap();
        assert_eq!((reply.ending, reply.source), (Ending::Served, Source::Store), "round {round}");
    }
    sleep(Duration::from_secs(2)).await;
    let stats = engine.stats();
    assert_eq!((stats.writes.written, stats.gauge.write_queue.used), (300, 0));
}

#[tokio::test(start_paused = true)]
async fn providers_that_fail_pause_no_call_for_values() {
    let (_store, engine) = failing(Calls::OfProviders);
    for round in 0..200u64 {
        use_providers(&engine, round).await;
        // So many that their line and their queue fill up.
        let asked = (0..100).map(|number| {
            let (engine, number) = (&engine, 1_000_000 + round * 100 + number);
            engine.announce(caller(number), &key(number), || addresses(number)).unwrap();
            async move { engine.providers(caller(number), &key(number + 1_000_000)).await.unwrap().ending }
        });
        futures::future::join_all(asked).await;
        let name = Name::of(round as u8);
        assert_eq!(get(&engine, &name).await, None);
        assert_eq!(put(&engine, &name, &name.record(1)).await, Put::Taken, "round {round}");
        let reply = engine.value(caller(1), &name.key()).await;
        assert_eq!((reply.ending, reply.rung), (Ending::Served, Rung::Full), "round {round}");
    }
    sleep(Duration::from_secs(2)).await;
    let stats = engine.stats();
    assert_eq!((stats.values.written, stats.gauge.value_queue.used), (200, 0));
    assert!(engine.health().paused.is_some() && engine.read_rung() == Rung::Stale, "of providers");
}

#[tokio::test(start_paused = true)]
async fn calls_for_values_are_paused_by_themselves_and_resumed_though_nobody_asks() {
    let (store, engine) = failing(Calls::OfValues);
    let name = Name::of(1);
    for round in 0..50 {
        use_values(&engine, round).await;
        sleep(millis(100)).await;
    }
    assert!(engine.health().values_paused.is_some_and(|pause| pause.reads), "{:?}", engine.health());
    assert_eq!(lane(&engine, "value_reads"), (true, 1));
    assert_eq!((lane(&engine, "reads"), lane(&engine, "writes")), ((false, 0), (false, 0)));
    let before = store.counted().statements;
    sleep(Duration::from_secs(30)).await;
    let probes = store.counted().statements - before;
    assert!((50..250).contains(&probes), "{probes} probes and other calls in 30 s");
    store.set(StoreErrorKind::Unavailable, 0);
    sleep(Duration::from_secs(3)).await;
    assert_eq!((engine.health().values_paused, lane(&engine, "value_reads")), (None, (false, 1)));
    assert_eq!(put(&engine, &name, &name.record(1)).await, Put::Taken);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(engine.stats().gauge.value_queue.used, 0);
}

#[tokio::test(start_paused = true)]
async fn writes_of_values_are_paused_by_themselves_and_no_record_is_lost() {
    let (store, engine) = failing(Calls::OfValues);
    store.set(StoreErrorKind::Unavailable, 0);
    let names: Vec<_> = (0..20).map(Name::of).collect();
    for name in &names {
        assert_eq!(put(&engine, name, &name.record(1)).await, Put::Taken);
    }
    store.set(StoreErrorKind::Unavailable, 1_000);
    sleep(Duration::from_secs(20)).await;
    assert!(lane(&engine, "value_writes").0);
    assert_eq!((lane(&engine, "reads"), lane(&engine, "writes")), ((false, 0), (false, 0)));
    assert_eq!(get(&engine, &names[0]).await, Some(names[0].record(1)));
    store.set(StoreErrorKind::Unavailable, 0);
    sleep(Duration::from_secs(10)).await;
    let stats = engine.stats();
    assert_eq!((stats.values.written, stats.gauge.value_queue.used), (20, 0));
    assert!(!lane(&engine, "value_writes").0);
}

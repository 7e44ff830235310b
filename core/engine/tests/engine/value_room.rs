//! Value records for which there is no room: in the queue or in the store.

use crate::doubles::{Mood, START, Store, caller, memory, millis, open, open_store, permits};
use crate::names::{Name, forged};
use crate::values::{get, put, put_by};
use hydra_api::{ProviderStore, UnixSeconds, ValueKey, ValuePut, ValueRecord};
use hydra_conformance::doubles::CountingStore;
use hydra_engine::{Caller, Ending, Put};
use hydra_store_memory::Memory;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{advance, sleep};

#[tokio::test(start_paused = true)]
async fn a_store_without_room_is_given_nothing_new_for_a_while() {
    let store = full().await;
    let engine = open_store(store.clone(), vec![], permits(4), None);
    let names: Vec<_> = (0..40).map(Name::of).collect();
    let mut taken = 0;
    for name in &names {
        taken += u64::from(put(&engine, name, &name.record(1)).await == Put::Taken);
        sleep(millis(700)).await;
    }
    // The first one, and one in five seconds.
    assert!((1..8).contains(&taken), "{taken} records were taken in 28 s by a store that has no room");
    // Of many at once only one, too.
    sleep(Duration::from_secs(10)).await;
    let burst = futures::future::join_all((40..80).map(async |number| {
        let name = Name::of(number);
        put(&engine, &name, &name.record(1)).await
    }));
    assert_eq!(burst.await.iter().filter(|put| **put == Put::Taken).count(), 1);
    let values = engine.stats().values;
    // Its signature is checked before the store is asked, so that what is forged costs no statement.
    assert_eq!((values.written, values.checks), (0, 80));
}

/// A store in memory without room for another value.
async fn full() -> Arc<Memory> {
    let store = Arc::new(Memory::new(&hydra_store_memory::Config { mib_max: 1, ..Default::default() }));
    let record =
        ValueRecord { value: vec![7; 10_000].into(), received: START, expires: UnixSeconds(u32::MAX) };
    let fill = |number: u32, record: &ValueRecord| {
        let key = ValueKey::new(format!("/ipns/{number}").as_bytes()).unwrap();
        ValuePut { key, seen: None, record: record.clone() }
    };
    for number in 0..128 {
        store.values().unwrap().put_if([fill(number, &record)].into(), START).await.unwrap();
    }
    let short = ValueRecord { value: vec![7; 10].into(), ..record };
    for number in 200..300 {
        store.values().unwrap().put_if([fill(number, &short)].into(), START).await.unwrap();
    }
    store
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_takes_nothing_more_and_says_so() {
    let mut config = permits(4);
    config.values.queue_len_max = 10;
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], config);
    store.set_writes(Mood::Frozen);
    let results = futures::future::join_all((0..40).map(async |number| {
        let name = Name::of(number);
        put(&engine, &name, &name.record(1)).await
    }));
    let results = results.await;
    assert_eq!(results.iter().filter(|put| **put == Put::Taken).count(), 10);
    assert_eq!(results.iter().filter(|put| **put == Put::NotNow).count(), 30);
    assert_eq!(engine.stats().gauge.value_queue.used, 10);
    store.set_writes(Mood::Takes(millis(1)));
    sleep(Duration::from_secs(60)).await;
    let name = Name::of(39);
    assert_eq!(put(&engine, &name, &name.record(1)).await, Put::Taken);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_takes_better_records_of_the_names_that_wait() {
    let mut config = permits(4);
    config.values.queue_len_max = 10;
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], config);
    store.set_writes(Mood::Frozen);
    let names: Vec<_> = (0..11).map(Name::of).collect();
    for name in &names[..10] {
        assert_eq!(put(&engine, name, &name.record(1)).await, Put::Taken);
    }
    assert_eq!(put(&engine, &names[10], &names[10].record(1)).await, Put::NotNow);
    for name in &names[..10] {
        assert_eq!(put(&engine, name, &name.record(2)).await, Put::Taken);
        assert_eq!(get(&engine, name).await, Some(name.record(2)));
    }
    assert_eq!(engine.stats().gauge.value_queue.used, 10);
}

#[tokio::test(start_paused = true)]
async fn a_store_with_as_many_bytes_as_it_may_have_takes_known_names_alone() {
    let mut config = permits(4);
    config.values.mib_max = 1;
    config.estimate_interval_s = 1;
    config.values.checks_per_prefix_per_second = 1_000_000;
    config.values.checks_per_second = 1_000_000;
    let store = memory();
    let engine = open_store(store.clone(), vec![], config, None);
    let key = |number: u32| ValueKey::new(format!("/ipns/{number}").as_bytes()).unwrap();
    let record = ValueRecord {
        value: vec![7; 10_000].into(),
        received: START,
        expires: UnixSeconds(START.0 + 100_000),
    };
    let name = Name::of(1);
    assert_eq!(put(&engine, &name, &name.record(1)).await, Put::Taken);
    let puts: Vec<_> =
        (0..110).map(|number| ValuePut { key: key(number), seen: None, record: record.clone() }).collect();
    store.values().unwrap().put_if(puts.into(), START).await.unwrap();
    sleep(Duration::from_secs(40)).await;
    let new = Name::of(2);
    assert_eq!(put(&engine, &new, &new.record(1)).await, Put::NotNow);
    assert_eq!(put(&engine, &name, &name.record(2)).await, Put::Taken);
    assert_eq!(engine.stats().requests(hydra_api::Operation::PutValue, Ending::NoRoom), 1);
}

/// What anybody makes up costs no statement, whatever the store has room for.
#[tokio::test(start_paused = true)]
async fn wrong_signatures_cost_no_statement_of_a_store_without_room() {
    let mut config = permits(4);
    config.values.mib_max = 1;
    config.estimate_interval_s = 1;
    let inner = memory();
    let record =
        ValueRecord { value: vec![7; 10_000].into(), received: START, expires: UnixSeconds(u32::MAX) };
    let key = |number: u8| ValueKey::new(&[b'x', number]).unwrap();
    let puts: Vec<_> =
        (0..110).map(|number| ValuePut { key: key(number), seen: None, record: record.clone() }).collect();
    inner.values().unwrap().put_if(puts.into(), START).await.unwrap();
    let store = Arc::new(CountingStore::new(inner));
    let engine = open_store(store.clone(), vec![], config, None);
    sleep(Duration::from_secs(40)).await;
    let before = store.counted().value_reads;
    for number in 0..200 {
        let name = Name::of(number);
        assert!(put(&engine, &name, &forged(&name.record(1))).await != Put::Taken);
        advance(millis(10)).await;
    }
    assert_eq!(store.counted().value_reads, before);
    let new = Name::of(201);
    let by = Caller { address: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))), ..caller(1) };
    assert_eq!(put_by(&engine, by, &new, &new.record(1)).await, Put::NotNow, "there is no room");
}

/// The next estimate comes in an hour.
#[tokio::test(start_paused = true)]
async fn what_was_written_since_the_last_estimate_counts() {
    let mut config = permits(4);
    config.values.mib_max = 1;
    config.estimate_interval_s = 3_600;
    let store = memory();
    let engine = open_store(store.clone(), vec![], config, None);
    sleep(Duration::from_secs(10)).await;
    let mut taken = 0;
    for number in 0..200 {
        let name = Name::of(number);
        taken += u32::from(put(&engine, &name, &name.long(1)).await == Put::Taken);
        sleep(millis(2_000)).await;
    }
    let bytes = store.values().unwrap().estimate_values().await.unwrap().bytes;
    assert!((1 << 20..(1 << 20) + 20_000).contains(&bytes), "{taken} records of {bytes} bytes were taken");
}

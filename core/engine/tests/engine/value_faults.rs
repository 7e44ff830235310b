//! Value records, and store calls that hang or fail.

use crate::doubles::{START, addresses, caller, key, memory, open_store, permits};
use crate::log::log;
use crate::names::Name;
use hydra_api::{
    FoundValue, ProviderStore, StoreError, StoreErrorKind, UnixSeconds, ValueKey, ValuePut, ValueRecord,
    async_trait,
};
use hydra_conformance::doubles::{Behaviour, Call, Double};
use hydra_engine::{Config, Ending, Engine, Put, PutRecord};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::sleep;

async fn put(engine: &Engine, name: &Name) -> Put {
    let (key, record) = (name.key(), name.record(1));
    engine.put_value(caller(1), &key, PutRecord { key: &key, value: &record }).await
}

async fn is_stored(store: &dyn ProviderStore, name: &Name) -> bool {
    let key = ValueKey::new(&name.key()).unwrap();
    let found = store.values().unwrap().get([key].into(), START).await.unwrap();
    matches!(&found[0], FoundValue::Known(Some(_)))
}

/// So many puts never return.
#[derive(Debug)]
struct Hangs(AtomicUsize);

#[async_trait]
impl Behaviour for Hangs {
    async fn enter(&self, call: Call) -> Result<(), StoreError> {
        let counted = |left: usize| left.checked_sub(1);
        if matches!(call, Call::PutValues(_))
            && self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted).is_ok()
        {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_that_hangs_keeps_its_permit_and_not_the_records() {
    let memory = memory();
    let store = Arc::new(Double::of(memory.clone(), Hangs(AtomicUsize::new(1))));
    let engine = open_store(store, vec![], permits(4), None);
    let names = [1, 2].map(Name::of);
    assert_eq!(put(&engine, &names[0]).await, Put::Taken);
    // It hangs, and not for so long that the store counts as stalled.
    sleep(Duration::from_millis(700)).await;
    assert_eq!(put(&engine, &names[1]).await, Put::Taken);
    sleep(Duration::from_secs(60)).await;
    for name in &names {
        assert!(is_stored(&*memory, name).await, "{:?}", engine.stats().values);
    }
    assert_eq!((engine.load().in_flight.used, engine.stats().gauge.value_queue.used), (1, 0));
}

/// The permits are those of the providers as well.
#[tokio::test(start_paused = true)]
async fn puts_that_all_hang_do_not_keep_announcements_from_the_store() {
    let store = Arc::new(Double::of(memory(), Hangs(AtomicUsize::new(usize::MAX))));
    let engine = open_store(store, vec![], permits(4), None);
    for number in 0..20 {
        put(&engine, &Name::of(number)).await;
        sleep(Duration::from_secs(60)).await;
        engine.announce(caller(1), &key(number.into()), || addresses(1)).unwrap();
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!((engine.stats().writes.written, engine.load().in_flight.used), (20, 2));
}

/// No read of value records ever returns.
#[derive(Debug)]
struct HangsReading;

#[async_trait]
impl Behaviour for HangsReading {
    async fn enter(&self, call: Call) -> Result<(), StoreError> {
        if matches!(call, Call::GetValues(_)) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// As with puts: a table of value records that hangs is no fault of that of the providers.
#[tokio::test(start_paused = true)]
async fn reads_of_values_that_all_hang_do_not_keep_announcements_from_the_store() {
    for count in [3, 4, 5, 9] {
        let store = Arc::new(Double::of(memory(), HangsReading));
        let engine = open_store(store, vec![], permits(count), None);
        for number in 0..20 {
            engine.value(caller(1), &Name::of(number).key()).await;
            engine.announce(caller(1), &key(number.into()), || addresses(1)).unwrap();
        }
        sleep(Duration::from_secs(5)).await;
        let read = engine.providers(caller(2), &key(1_000)).await.unwrap();
        assert_eq!((engine.stats().writes.written, read.ending), (20, Ending::Served), "{count} permits");
    }
}

/// Whoever is pushed out of the line has got no permit in time either.
#[tokio::test(start_paused = true)]
async fn reads_of_values_that_newer_ones_push_out_of_the_line_count_as_denied() {
    let store = Arc::new(Double::of(memory(), HangsReading));
    let engine = open_store(store, vec![], Config { waiting_len_max: 4, ..permits(1) }, None);
    let name = |number: u8| Name::of(number).key();
    let reads = (0..20).map(|number| {
        let engine = &engine;
        async move { engine.value(caller(1), &name(number)).await.ending }
    });
    let endings = futures::future::join_all(reads).await;
    let denied = endings.iter().filter(|ending| **ending == Ending::NoPermit).count();
    assert!(denied > 10, "{endings:?}");
    assert_eq!(engine.stats().values.denied, denied as u64, "{endings:?}");
}

/// Fails each put with this kind.
#[derive(Debug)]
struct FailsToPut(StoreErrorKind);

#[async_trait]
impl Behaviour for FailsToPut {
    async fn enter(&self, call: Call) -> Result<(), StoreError> {
        match call {
            Call::PutValues(_) => Err(StoreError::because(self.0, "put_if", "the test wants it to fail")),
            _ => Ok(()),
        }
    }
}

/// As with providers: a record that the store refuses is dropped at once, with its cause.
#[tokio::test(start_paused = true)]
async fn a_value_record_that_is_refused_is_not_tried_again() {
    let (log, _guard) = log();
    let store = Arc::new(Double::of(memory(), FailsToPut(StoreErrorKind::Refused)));
    let engine = open_store(store, vec![], permits(4), None);
    for number in 0..4 {
        assert_eq!(put(&engine, &Name::of(number)).await, Put::Taken);
    }
    sleep(Duration::from_secs(30)).await;
    let values = engine.stats().values;
    assert_eq!((values.dropped_refused, values.dropped_after_retries), (4, 0), "{values:?}");
    assert!(values.statements <= 4 + 1 + 4, "the batch, and each record alone: {values:?}");
    assert!(log.lines("the store refuses records").iter().any(|line| line.contains("the test wants")));
}

#[tokio::test(start_paused = true)]
async fn a_value_record_that_is_given_up_is_logged_with_its_cause() {
    let (log, _guard) = log();
    let store = Arc::new(Double::of(memory(), FailsToPut(StoreErrorKind::Corrupt)));
    let engine = open_store(store, vec![], permits(4), None);
    assert_eq!(put(&engine, &Name::of(1)).await, Put::Taken);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(engine.stats().values.dropped_after_retries, 1);
    let lines = log.lines("they are dropped");
    assert!(lines.len() == 1 && lines[0].contains("the test wants it to fail"), "{lines:?}");
}

/// What another program wrote into the table: the store reports it as another value than was seen, and every read as nothing.
#[tokio::test(start_paused = true)]
async fn a_value_that_no_store_may_return_is_not_written_over_for_ever() {
    let (log, _guard) = log();
    let memory = memory();
    for (name, len) in [(Name::of(1), 0), (Name::of(2), ValueRecord::LEN_MAX + 1)] {
        let record =
            ValueRecord { value: vec![7; len].into(), received: START, expires: UnixSeconds(u32::MAX) };
        let put = ValuePut { key: ValueKey::new(&name.key()).unwrap(), seen: None, record };
        memory.values().unwrap().put_if([put].into(), START).await.unwrap();
    }
    let engine = open_store(memory, vec![], permits(4), None);
    for name in [1, 2].map(Name::of) {
        assert_eq!(put(&engine, &name).await, Put::Taken);
    }
    sleep(Duration::from_secs(600)).await;
    let stats = engine.stats();
    assert_eq!(stats.gauge.value_queue.used, 0, "{:?}", stats.values);
    assert_eq!((stats.values.dropped_after_retries, stats.values.written), (2, 0), "{:?}", stats.values);
    assert!(stats.values.statements < 100, "{:?}", stats.values);
    assert!(log.lines("they are dropped").iter().any(|line| line.contains("is not valid")));
}

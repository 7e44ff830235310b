use super::*;
use crate::given::{NOW, key, record};
use futures::FutureExt;
use hydra_api::{Inserted, ProviderStore, StoreErrorKind};
use hydra_store_memory::{Config, Memory};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

fn memory() -> Arc<dyn ProviderStore> {
    Arc::new(Memory::new(&Config::default()))
}

#[tokio::test(start_paused = true)]
async fn a_delayed_store_takes_as_long_for_many_calls_at_a_time() {
    let store = SlowStore::delayed(memory(), Duration::from_millis(300));
    let begun = Instant::now();
    let calls = (0..10).map(|number| store.insert(Arc::new([]), NOW).map(move |done| done.map(|_| number)));
    futures::future::try_join_all(calls).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_millis(300));
}

#[tokio::test(start_paused = true)]
async fn a_store_at_a_speed_serves_one_after_another() {
    let store = SlowStore::at_speed(memory(), NonZeroU32::new(100).unwrap());
    let begun = Instant::now();
    let batch: Vec<_> = (0..50).map(|number| record(number, 1)).collect();
    let batch: Arc<[_]> = batch.into();
    let (one, other) = tokio::join!(store.insert(batch.clone(), NOW), store.insert(batch, NOW));
    assert_eq!((one.unwrap(), other.unwrap()), (Inserted::All, Inserted::All));
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_frozen_store_answers_after_the_thaw() {
    let store = FrozenStore::frozen(memory());
    let read = store.providers([key(1)].into(), NOW, NonZeroU32::MIN);
    tokio::pin!(read);
    let waited = tokio::time::timeout(Duration::from_secs(3600), &mut read).await;
    assert!(waited.is_err(), "a frozen store answered");
    store.thaw();
    assert_eq!(read.await.unwrap().len(), 1);
    store.freeze();
    assert!(store.close().now_or_never().is_none(), "a frozen store was closed");
}

#[tokio::test]
async fn a_failing_store_fails_its_share_with_its_kind() {
    let store = FailingStore::new(memory(), StoreErrorKind::Overloaded, 250, 7);
    let mut failed = 0;
    for _ in 0..1000 {
        match store.insert([record(1, 1)].into(), NOW).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!((error.kind(), error.operation()), (StoreErrorKind::Overloaded, "insert"));
                failed += 1;
            }
        }
    }
    assert!((200..300).contains(&failed), "{failed} of 1,000 failed");
    store.set(StoreErrorKind::Corrupt, 1000);
    assert_eq!(store.estimate().await.unwrap_err().kind(), StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn a_counting_store_counts_rows_and_the_most_calls_at_a_time() {
    let frozen = Arc::new(FrozenStore::frozen(memory()));
    let store = CountingStore::new(Arc::clone(&frozen) as Arc<dyn ProviderStore>);
    let (batch, keys) = ([record(1, 1), record(2, 1)], [key(1), key(2), key(3)]);
    let mut insert = store.insert(batch.into(), NOW);
    let mut read = store.providers(keys.into(), NOW, NonZeroU32::MIN);
    assert!((&mut insert).now_or_never().is_none());
    assert!((&mut read).now_or_never().is_none());
    drop(read);
    frozen.thaw();
    insert.await.unwrap();
    let expected =
        Counted { statements: 2, inserts: 1, records: 2, reads: 1, keys: 3, in_flight: 0, in_flight_max: 2 };
    assert_eq!(store.counted(), expected);
}

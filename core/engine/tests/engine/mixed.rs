//! Answers of a store that say different things of their keys and records.

use crate::doubles::{START, addresses, caller, key, memory, millis, open_store, permits};
use hydra_api::{
    ContentKey, Found, Inserted, ProviderRecord, ProviderStore, RecordOutcome, StoreError, StoreErrorKind,
    UnixSeconds, async_trait,
};
use hydra_conformance::doubles::{Behaviour, Double};
use hydra_engine::{Ending, Engine};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::time::sleep;

/// While on: the first record or key of a call is unknown with the first kind, the rest with the second.
#[derive(Debug)]
struct Mixed {
    on: AtomicBool,
    kinds: [StoreErrorKind; 2],
    known_last: bool,
    tried: Mutex<Vec<ProviderRecord>>,
    calls: AtomicUsize,
}

#[derive(Debug)]
struct Shared(Arc<Mixed>);

#[async_trait]
impl Behaviour for Shared {
    async fn insert(
        &self,
        inner: &dyn ProviderStore,
        batch: Arc<[ProviderRecord]>,
        now: UnixSeconds,
    ) -> Result<Inserted, StoreError> {
        self.0.tried.lock().unwrap().extend(batch.iter().cloned());
        if !self.0.on.load(Ordering::Relaxed) {
            return inner.insert(batch, now).await;
        }
        // By record, not by place: the lower key is that of the first node.
        let low = ContentKey::new(&low()).unwrap();
        let outcome =
            |record: &ProviderRecord| RecordOutcome::Unknown(self.0.kinds[usize::from(record.key != low)]);
        Ok(Inserted::of(batch.iter().map(outcome).collect()))
    }

    fn unknown_because(&self, _: Option<String>) -> Option<String> {
        Some("server 3 does not answer".to_owned())
    }

    async fn providers(
        &self,
        inner: &dyn ProviderStore,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        sleep(millis(15)).await;
        let mut found = inner.providers(keys.clone(), now, limit).await?;
        if keys.len() > 1 && self.0.on.load(Ordering::Relaxed) {
            let len = found.len() - usize::from(self.0.known_last);
            for (place, found) in found.iter_mut().take(len).enumerate() {
                *found = Found::Unknown(self.0.kinds[place.min(1)]);
            }
        }
        Ok(found)
    }
}

fn low() -> Vec<u8> {
    key(1).min(key(2))
}

fn high() -> Vec<u8> {
    key(1).max(key(2))
}

fn mixed(kinds: [StoreErrorKind; 2], known_last: bool) -> (Arc<Mixed>, Arc<dyn ProviderStore>, Arc<Engine>) {
    let state = Arc::new(Mixed {
        on: AtomicBool::new(true),
        kinds,
        known_last,
        tried: Mutex::default(),
        calls: AtomicUsize::new(0),
    });
    let inner = memory();
    let store = Arc::new(Double::of(inner.clone(), Shared(state.clone())));
    let engine = open_store(store, vec![], permits(1), None);
    (state, inner, engine)
}

async fn stored(store: &dyn ProviderStore, key: &[u8]) -> usize {
    let key = ContentKey::new(key).unwrap();
    let found = store.providers([key].into(), START, NonZeroU32::MIN).await.unwrap();
    found[0].providers().len()
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_part_is_away_is_not_dropped_for_one_that_is_refused() {
    let (state, inner, engine) = mixed([StoreErrorKind::Refused, StoreErrorKind::Unavailable], false);
    for key in [low(), high()] {
        assert_eq!(engine.announce(caller(1), &key, || addresses(1)), Ok(Ending::Served));
    }
    sleep(millis(3_000)).await;
    state.on.store(false, Ordering::Relaxed);
    sleep(millis(30_000)).await;
    assert_eq!(stored(&*inner, &high()).await, 1, "accepted, unavailable for 3 s, and lost");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_refused_is_not_tried_again_with_others() {
    let (state, _inner, engine) = mixed([StoreErrorKind::Unavailable, StoreErrorKind::Refused], false);
    for key in [low(), high()] {
        assert_eq!(engine.announce(caller(1), &key, || addresses(1)), Ok(Ending::Served));
    }
    sleep(millis(10_000)).await;
    let high = ContentKey::new(&high()).unwrap();
    let tried = state.tried.lock().unwrap().iter().filter(|record| record.key == high).count();
    assert_eq!(tried, 1);
}

async fn corrupt(known_last: bool) {
    let (_state, _inner, engine) = mixed([StoreErrorKind::Unavailable, StoreErrorKind::Corrupt], known_last);
    for number in 0..20 {
        let engine = engine.clone();
        tokio::spawn(async move { engine.providers(caller(0), &key(number)).await.map(drop) });
        tokio::task::yield_now().await;
    }
    sleep(millis(1_000)).await;
    assert!(engine.health().corrupt.is_some(), "19 keys were said to be damaged");
}

#[tokio::test(start_paused = true)]
async fn damage_of_some_keys_shows_beside_others_that_are_away() {
    corrupt(true).await;
}

#[tokio::test(start_paused = true)]
async fn damage_of_some_keys_shows_beside_others_that_are_away_and_none_known() {
    corrupt(false).await;
}

/// Such a store gives the kinds of its outcomes alone; why it is so is told by the last error of the insert.
#[tokio::test(start_paused = true)]
async fn the_cause_of_what_is_not_known_of_any_record_reaches_the_operator() {
    let (_state, _inner, engine) = mixed([StoreErrorKind::Unavailable; 2], false);
    for key in [low(), high()] {
        assert_eq!(engine.announce(caller(1), &key, || addresses(1)), Ok(Ending::Served));
    }
    sleep(millis(10_000)).await;
    let paused = engine.health().paused.unwrap();
    assert!(paused.because.contains("server 3 does not answer"), "{paused:?}");
    let report = engine.close(millis(1_000)).await;
    assert!(report.unwritten_because().contains("server 3 does not answer"), "{report:?}");
}

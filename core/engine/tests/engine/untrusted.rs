//! Stores that panic where they are asked for a word, not for records.

use crate::doubles::{START, addresses, caller, key, memory, millis, open_store, permits};
use hydra_api::{
    ContentKey, Estimate, Found, Inserted, ProviderRecord, ProviderStore, Purged, StoreError, StoreErrorKind,
    StoreProfile, UnixSeconds, ValueStore, async_trait,
};
use hydra_conformance::doubles::{Behaviour, CountingStore, Double, UnknownForSome};
use hydra_engine::{Clock, Config, Engine, NamedStore};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Does not know why it could say nothing of a part.
#[derive(Debug)]
struct KnowsNoCause;

impl Behaviour for KnowsNoCause {
    fn unknown_because(&self, _inner: Option<String>) -> Option<String> {
        panic!("the test wants it to panic");
    }
}

/// The parts of the store that are up are written to, once, whatever it says of the one that is away.
#[tokio::test(start_paused = true)]
async fn a_store_that_panics_when_it_is_asked_for_a_cause_is_written_to_once() {
    let counting = Arc::new(CountingStore::new(memory()));
    let unknown = Arc::new(UnknownForSome::new(counting.clone(), StoreErrorKind::Unavailable, 500, 1));
    let engine = open_store(Arc::new(Double::of(unknown.clone(), KnowsNoCause)), vec![], permits(4), None);
    let is_away = |number| unknown.is_unknown(&ContentKey::new(&key(number)).unwrap());
    let away = (0..100).filter(|number| is_away(*number)).count() as u64;
    for number in 0..100 {
        engine.announce(caller(1), &key(number), || addresses(1)).unwrap();
    }
    sleep(Duration::from_secs(30)).await;
    let stats = engine.stats();
    assert_eq!(stats.background.panics, 0, "no task of the engine panics for it");
    assert_eq!((stats.writes.written, u64::from(stats.gauge.write_queue.used)), (100 - away, away));
    let found = engine.providers(caller(2), &key((0..100).find(|number| is_away(*number)).unwrap())).await;
    assert_eq!(found.unwrap().providers().len(), 1, "what waits is read");
}

/// Panics in calls that are no store calls.
#[derive(Debug)]
struct Touchy(Arc<dyn ProviderStore>);

#[async_trait]
impl ProviderStore for Touchy {
    fn profile(&self) -> StoreProfile {
        self.0.profile()
    }

    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError> {
        self.0.insert(batch, now).await
    }

    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        self.0.providers(keys, now, limit).await
    }

    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.0.purge_expired(now, limit).await
    }

    fn expire_by(&self, _: UnixSeconds) {
        panic!("the test wants it to panic");
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        self.0.estimate().await
    }

    fn values(&self) -> Option<&dyn ValueStore> {
        panic!("the test wants it to panic");
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.0.close().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_between_its_calls_is_used_and_its_calls_fail() {
    let store = NamedStore { name: "test".to_owned(), store: Arc::new(Touchy(memory())) };
    let engine = Engine::open(
        store,
        vec![],
        Config { purge_interval_s: 60, ..permits(4) },
        Clock::starting_at(START),
        None,
    );
    sleep(millis(10)).await;
    assert!(!engine.keeps_values());
    engine.announce(caller(1), &key(1), || addresses(1)).unwrap();
    // Until the clock has gone evenly for so long that expiries are bounded.
    sleep(Duration::from_secs(2 * 3_600)).await;
    let stats = engine.stats();
    assert_eq!(stats.background.panics, 0, "no task of the engine panics for it");
    assert!(
        stats.failures.iter().any(|(_, kind, count)| *kind == "panic" && *count > 10),
        "{:?}",
        stats.failures
    );
    assert_eq!(engine.providers(caller(2), &key(1)).await.unwrap().providers().len(), 1);
}

//! An idle store is served in full, whatever the config allows and the plugin does.

use crate::doubles::{Mood, Store, caller, key, memory, millis, open, open_store, permits};
use hydra_api::{ContentKey, Found, ProviderStore, StoreError, StoreErrorKind, UnixSeconds, async_trait};
use hydra_conformance::doubles::{Behaviour, Double};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::sleep;

#[derive(Debug)]
struct Panicky(Arc<AtomicBool>, Arc<AtomicBool>);

#[async_trait]
impl Behaviour for Panicky {
    fn profile(&self, inner: hydra_api::StoreProfile) -> hydra_api::StoreProfile {
        assert!(!self.0.load(Ordering::Relaxed), "the profile panics");
        inner
    }

    async fn providers(
        &self,
        inner: &dyn ProviderStore,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        if self.1.load(Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Overloaded, "providers"));
        }
        inner.providers(keys, now, limit).await
    }
}

#[tokio::test(start_paused = true)]
async fn permits_come_back_although_the_profile_panics() {
    let (panics, overloaded) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
    let store = Arc::new(Double::of(memory(), Panicky(panics.clone(), overloaded.clone())));
    let engine = open_store(store, vec![], permits(8), None);
    for number in 0..10 {
        drop(engine.providers(caller(0), &key(number)).await);
        sleep(millis(1_100)).await;
    }
    let few = engine.load().in_flight.max;
    panics.store(true, Ordering::Relaxed);
    overloaded.store(false, Ordering::Relaxed);
    std::panic::set_hook(Box::new(|_| {}));
    sleep(millis(120_000)).await;
    drop(std::panic::take_hook());
    assert_eq!((few < 8, engine.load().in_flight.max), (true, 8), "{few}");
}

/// The config allows a line of one key.
#[tokio::test(start_paused = true)]
async fn an_idle_store_behind_a_short_line_serves_in_full() {
    for len in [1, 2, 4] {
        let store = Store::new(4, 256);
        let mut config = permits(4);
        config.waiting_len_max = len;
        let engine = open(&store, vec![], config);
        sleep(millis(10)).await;
        store.set_reads(Mood::Takes(millis(1)));
        let mut rungs = std::collections::BTreeMap::new();
        for number in 0..1_000 {
            drop(engine.providers(caller(0), &key(number)).await);
            sleep(millis(49)).await;
            *rungs.entry(engine.read_rung().as_str()).or_insert(0) += 1;
        }
        println!("line of {len}: {rungs:?}");
        if len < 3 {
            assert_eq!(rungs.len(), 1, "one read of 1 ms at a time: {rungs:?}");
        }
    }
}

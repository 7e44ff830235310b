//! The way of a read that the cache answers.

use divan::{Bencher, black_box};
use hydra_api::{
    Addresses, ContentKey, Estimate, EstimateMethod, Found, Inserted, PeerId, Provider, ProviderRecord,
    ProviderStore, PurgeProgress, Purged, StoreError, StoreProfile, UnixSeconds, async_trait,
};
use hydra_engine::{Account, Caller, Clock, Config, Engine, NamedStore, Source, Watch};
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

fn main() {
    divan::main();
}

/// Every key has as many providers as its first byte says.
#[derive(Debug)]
struct Constant;

#[async_trait]
impl ProviderStore for Constant {
    fn profile(&self) -> StoreProfile {
        StoreProfile::builder().build()
    }

    async fn insert(&self, _: Arc<[ProviderRecord]>, _now: UnixSeconds) -> Result<Inserted, StoreError> {
        Ok(Inserted::All)
    }

    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        _limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        let provider = |number: u8| Provider {
            peer: PeerId::new(&[number; 38]).expect("38 bytes are a peer id"),
            addresses: Addresses::fitting([[number; 40]; 3]),
            addresses_at: now,
            expires: now.saturating_add(Duration::from_secs(48 * 3_600)),
        };
        Ok(keys.iter().map(|key| Found::Known((0..key.as_bytes()[0]).map(provider).collect())).collect())
    }

    async fn purge_expired(&self, _now: UnixSeconds, _limit: NonZeroU32) -> Result<Purged, StoreError> {
        Ok(Purged::new(0, PurgeProgress::Done))
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        Ok(Estimate::new(0, Duration::ZERO, EstimateMethod::Counted))
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Traces none of the requests, as who samples a part of them does with most.
#[derive(Debug)]
struct Unsampled;

impl Watch for Unsampled {
    fn traces(&self) -> bool {
        black_box(false)
    }

    fn ended(&self, account: &Account<'_>) {
        black_box(account);
    }
}

/// A request, its admission, the answer from the cache, its settling.
#[divan::bench(args = [0, 1, 20, 128])]
fn cache_hit(bencher: Bencher, providers: u8) {
    hit(bencher, providers, None);
}

/// The same while traces are exported, of a request that is not sampled.
#[divan::bench(args = [0, 1, 20, 128])]
fn cache_hit_unsampled(bencher: Bencher, providers: u8) {
    hit(bencher, providers, Some(Arc::new(Unsampled)));
}

fn hit(bencher: Bencher, providers: u8, watch: Option<Arc<dyn Watch>>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime is built");
    let _inside = runtime.enter();
    let cache = hydra_engine::ReadCache { fresh_s: 3_600, fresh_absent_s: 3_600, ..Default::default() };
    let mut config = Config { cache, ..Config::default() };
    config.peak.requests_per_second = 0;
    let store = NamedStore { name: "constant".to_owned(), store: Arc::new(Constant) };
    let engine: Arc<Engine> = Engine::open(store, Vec::new(), config, Clock::system(), watch);
    let peer = PeerId::new(&[7; 38]).expect("38 bytes are a peer id");
    let caller = Caller { peer, address: None, head: 0 };
    let key = [providers; 34];
    let found = runtime.block_on(engine.providers(caller, &key)).expect("34 bytes are a key");
    assert_eq!(found.providers().len(), usize::from(providers));
    let mut context = Context::from_waker(Waker::noop());
    bencher.bench_local(|| {
        let read = pin!(engine.providers(caller, black_box(&key)));
        match read.poll(&mut context) {
            Poll::Ready(Ok(found)) => assert_eq!(found.source, Source::Cache),
            Poll::Ready(Err(_)) | Poll::Pending => panic!("the cache answers at once"),
        }
    });
}

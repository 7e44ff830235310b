//! The way of a read that the cache answers.

use divan::{Bencher, black_box};
use hydra_api::{Addresses, ContentKey, PeerId, ProviderRecord, ProviderStore};
use hydra_engine::{Account, Caller, Clock, Config, Engine, NamedStore, Source, Watch};
use hydra_store_memory::Memory;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

fn main() {
    divan::main();
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
    let (clock, key) = (Clock::system(), [providers; 34]);
    let peer = |number: u8| PeerId::new(&[number; 38]).expect("38 bytes are a peer id");
    let record = |number: u8| ProviderRecord {
        key: ContentKey::new(&key).expect("34 bytes are a key"),
        provider: peer(number),
        addresses: Addresses::fitting([[number; 40]; 3]),
        expires: clock.unix().saturating_add(Duration::from_secs(48 * 3_600)),
    };
    let store = Arc::new(Memory::new(&hydra_store_memory::Config::default()));
    let records = (0..providers).map(record).collect();
    runtime.block_on(store.insert(records, clock.unix())).expect("the store takes them");
    let store = NamedStore { name: "memory".to_owned(), store };
    let engine: Arc<Engine> = Engine::open(store, Vec::new(), config, clock, watch);
    let caller = Caller { peer: peer(7), address: None, head: 0 };
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

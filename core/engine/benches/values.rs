//! The way of a value record: one that is read from the cache, one that is put and is better, one that is put again.

use bytes::Bytes;
use divan::{Bencher, black_box};
use hydra_api::PeerId;
use hydra_engine::{Caller, Clock, Config, Engine, NamedStore, Put, PutRecord, Source};
use hydra_records::Draft;
use hydra_store_memory::Memory;
use libp2p_identity::Keypair;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::runtime::Runtime;

const EOL: &str = "2090-01-02T03:04:05Z";

fn main() {
    divan::main();
}

/// An engine that knows a record of a name.
struct Bench {
    runtime: Runtime,
    engine: Arc<Engine>,
    owner: Keypair,
    key: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime is built");
        let cache = hydra_engine::ReadCache { fresh_s: 3_600, fresh_absent_s: 3_600, ..Default::default() };
        let mut config = Config { cache, ..Config::default() };
        config.peak.requests_per_second = 0;
        (config.values.checks_per_prefix_per_second, config.values.checks_per_second) =
            (1_000_000, 1_000_000);
        let store = Arc::new(Memory::new(&hydra_store_memory::Config::default()));
        let store = NamedStore { name: "memory".to_owned(), store };
        let engine = {
            let _inside = runtime.enter();
            Engine::open(store, Vec::new(), config, Clock::system(), None)
        };
        let owner = Keypair::ed25519_from_bytes([7; 32]).expect("32 bytes are a key");
        let key = [b"/ipns/", owner.public().to_peer_id().to_bytes().as_slice()].concat();
        let bench = Self { runtime, engine, owner, key };
        assert_eq!(bench.runtime.block_on(bench.put(&bench.record(0))), Put::Taken);
        bench
    }

    fn record(&self, sequence: u64) -> Bytes {
        let draft = Draft { value: "/ipfs/bafkqaaa", sequence, eol: EOL, ttl: 0 };
        draft.sign(&self.owner).expect("the key signs")
    }

    async fn put(&self, value: &Bytes) -> Put {
        self.engine.put_value(caller(), &self.key, PutRecord { key: &self.key, value }).await
    }
}

fn caller() -> Caller {
    Caller { peer: PeerId::new(&[7; 38]).expect("38 bytes are a peer id"), address: None, head: 0 }
}

/// What is known takes no time that is waited for.
fn at_once<T>(ready: impl Future<Output = T>) -> T {
    match pin!(ready).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("what is known is answered at once"),
    }
}

/// A GET_VALUE that the cache answers, admission and settling included.
#[divan::bench]
fn get_hit(bencher: Bencher) {
    let bench = Bench::new();
    let _inside = bench.runtime.enter();
    bencher.bench_local(|| {
        let reply = at_once(bench.engine.value(caller(), black_box(&bench.key)));
        assert_eq!(reply.source, Source::Cache);
    });
}

/// A PUT_VALUE of a better record: parsed, compared, its Ed25519 signature checked, taken.
#[divan::bench]
fn put_better(bencher: Bencher) {
    let bench = Bench::new();
    let _inside = bench.runtime.enter();
    let mut sequence = 0;
    bencher
        .with_inputs(|| {
            sequence += 1;
            bench.record(sequence)
        })
        .bench_local_values(|record| assert_eq!(at_once(bench.put(&record)), Put::Taken));
}

/// A PUT_VALUE of the record that is held, as a client repairs what it believes to be missing.
#[divan::bench]
fn put_equal(bencher: Bencher) {
    let bench = Bench::new();
    let _inside = bench.runtime.enter();
    let record = bench.record(0);
    bencher.bench_local(|| assert_eq!(at_once(bench.put(black_box(&record))), Put::Taken));
}

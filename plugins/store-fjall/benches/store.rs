//! What a record costs here and in memory: `cargo bench -p hydra-store-fjall`.
//!
//! Times are per batch of 1,024 records or keys.

#![expect(clippy::unwrap_used, reason = "a bench that cannot run ends")]

use divan::Bencher;
use hydra_api::{Plugin, ProviderRecord, ProviderStore, Scope};
use hydra_conformance::given::{Chance, NOW, key, record};
use hydra_store_fjall::{Config, Fjall};
use hydra_store_memory::Memory;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const BATCH: u64 = 1024;
const RECORDS: u64 = 500_000;
const PROVIDERS: u64 = 20_000;
const LIMIT: NonZeroU32 = NonZeroU32::new(128).unwrap();

struct Bench {
    runtime: Runtime,
    memory: Arc<dyn ProviderStore>,
    fjall: Arc<dyn ProviderStore>,
    _dir: TempDir,
}

fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let fjall = runtime.block_on(Fjall::open(Config::default(), &Scope::new(dir.path()))).unwrap();
        let memory: Arc<dyn ProviderStore> = Arc::new(Memory::new(&hydra_store_memory::Config::default()));
        for first in (0..RECORDS).step_by(BATCH as usize) {
            let batch: Vec<_> = (first..first + BATCH).map(known).collect();
            runtime.block_on(async {
                memory.insert(batch.as_slice().into(), NOW).await.unwrap();
                fjall.insert(batch.as_slice().into(), NOW).await.unwrap();
            });
        }
        Bench { runtime, memory, fjall, _dir: dir }
    })
}

fn known(number: u64) -> ProviderRecord {
    record(number, number % PROVIDERS)
}

fn stores(name: &str) -> &'static Arc<dyn ProviderStore> {
    if name == "fjall" { &bench().fjall } else { &bench().memory }
}

#[divan::bench(args = ["memory", "fjall"])]
fn refresh(bencher: Bencher<'_, '_>, name: &str) {
    let (store, runtime) = (stores(name), &bench().runtime);
    let mut chance = Chance::of(1);
    let mut later = NOW.saturating_add(hydra_conformance::given::LIFE).0;
    bencher
        .counter(BATCH)
        .with_inputs(|| -> Vec<_> {
            later += 1;
            let expires = hydra_api::UnixSeconds(later);
            (0..BATCH).map(|_| ProviderRecord { expires, ..known(chance.below(RECORDS)) }).collect()
        })
        .bench_local_values(|batch| runtime.block_on(store.insert(batch.as_slice().into(), NOW)).unwrap());
}

fn read(bencher: Bencher<'_, '_>, name: &str, first: u64) {
    let (store, runtime) = (stores(name), &bench().runtime);
    let mut chance = Chance::of(2);
    bencher
        .counter(BATCH)
        .with_inputs(|| -> Vec<_> { (0..BATCH).map(|_| key(first + chance.below(RECORDS))).collect() })
        .bench_local_values(|keys| {
            runtime.block_on(store.providers(keys.as_slice().into(), NOW, LIMIT)).unwrap()
        });
}

#[divan::bench(args = ["memory", "fjall"])]
fn read_present(bencher: Bencher<'_, '_>, name: &str) {
    read(bencher, name, 0);
}

#[divan::bench(args = ["memory", "fjall"])]
fn read_absent(bencher: Bencher<'_, '_>, name: &str) {
    read(bencher, name, 1 << 40);
}

fn main() {
    divan::main();
}

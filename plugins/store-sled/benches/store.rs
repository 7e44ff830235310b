//! What a record costs: `cargo bench -p hydra-store-sled`.
//!
//! Times are per batch of 1,024 records or keys. The records are those of the same bench of `hydra-store-fjall`. What
//! the process and the directory have grown by is printed first.

#![expect(clippy::unwrap_used, reason = "a bench that cannot run ends")]
#![expect(clippy::print_stdout, reason = "a bench prints what it has measured")]

use divan::Bencher;
use hydra_api::{Plugin, ProviderRecord, ProviderStore, Scope};
use hydra_conformance::given::{Chance, NOW, key, record};
use hydra_store_sled::{Config, Sled};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const BATCH: u64 = 1024;
const RECORDS: u64 = 500_000;
const PROVIDERS: u64 = 20_000;
const LIMIT: NonZeroU32 = NonZeroU32::new(128).unwrap();

struct Bench {
    runtime: Runtime,
    store: Arc<dyn ProviderStore>,
    _dir: TempDir,
}

fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = runtime.block_on(Sled::open(Config::default(), &Scope::new(dir.path()))).unwrap();
        let before = resident_bytes();
        for first in (0..RECORDS).step_by(BATCH as usize) {
            let batch: Vec<_> = (first..first + BATCH).map(known).collect();
            runtime.block_on(store.insert(batch.as_slice().into(), NOW)).unwrap();
        }
        println!(
            "after {RECORDS} records: {} bytes of memory and {} bytes of disk each",
            resident_bytes().saturating_sub(before) / RECORDS,
            disk_bytes(dir.path()) / RECORDS,
        );
        Bench { runtime, store, _dir: dir }
    })
}

/// Where the system tells it; else 0.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).map_or(0, |pages: u64| pages * 4096)
}

fn disk_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let len = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
        data if data.is_dir() => disk_bytes(&entry.path()),
        data => data.len(),
    };
    entries.map(len).sum()
}

fn known(number: u64) -> ProviderRecord {
    record(number, number % PROVIDERS)
}

#[divan::bench]
fn refresh(bencher: Bencher<'_, '_>) {
    let Bench { runtime, store, .. } = bench();
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

fn read(bencher: Bencher<'_, '_>, first: u64) {
    let Bench { runtime, store, .. } = bench();
    let mut chance = Chance::of(2);
    bencher
        .counter(BATCH)
        .with_inputs(|| -> Vec<_> { (0..BATCH).map(|_| key(first + chance.below(RECORDS))).collect() })
        .bench_local_values(|keys| {
            runtime.block_on(store.providers(keys.as_slice().into(), NOW, LIMIT)).unwrap()
        });
}

#[divan::bench]
fn read_present(bencher: Bencher<'_, '_>) {
    read(bencher, 0);
}

#[divan::bench]
fn read_absent(bencher: Bencher<'_, '_>) {
    read(bencher, 1 << 40);
}

fn main() {
    divan::main();
}

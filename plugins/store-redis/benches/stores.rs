//! What records cost a Redis server: memory, and CPU for each read and write, in batches and one at a time.
//!
//! `cargo bench -p hydra-store-redis --bench stores -- [keys]` starts a server of its own. 250,000 keys by default, in 2^13 buckets, so
//! that a bucket has about 31 keys as in a store of 8 million keys in 2^18. With the word `values` as many value records are measured
//! instead.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "figures are for the terminal")]

use bytes::Bytes;
use hydra_api::value::BATCH_LEN_MAX;
use hydra_api::{
    ContentKey, Plugin, ProviderRecord, ProviderStore, PutOutcome, Scope, ValueKey, ValuePut, ValueRecord,
};
use hydra_conformance::given::{Chance, LIFE, NOW, key, peer, record};
use hydra_conformance::servers::Redis as Server;
use hydra_store_redis::{Config, Redis, Scripts};
use std::num::NonZeroU32;
use std::sync::Arc;

const BATCH: usize = 256;
const PROVIDERS: u64 = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let keys = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(250_000u64);
    for scripts in [Scripts::Auto, Scripts::Off] {
        let server = Server::start(&Server::installed().expect("a Redis server"), &[]).unwrap();
        if std::env::args().any(|word| word == "values") {
            println!("scripts {scripts:?}, {keys} value records of 200 to 500 bytes");
            measure_values(&server, scripts, keys).await;
            continue;
        }
        println!("scripts {scripts:?}, {keys} keys with one provider each");
        measure(&server, scripts, keys).await;
    }
}

async fn open(server: &Server, scripts: Scripts, keys: u64) -> Arc<dyn ProviderStore> {
    let config = Config {
        hosts: vec![format!("127.0.0.1:{}", server.port())],
        scripts,
        buckets_log2: (keys / 31).next_power_of_two().ilog2().clamp(10, 28) as u8,
        statement_timeout_ms: 60_000,
        ..Config::default()
    };
    let dir = tempfile::tempdir().unwrap();
    Redis::open(config, &Scope::new(dir.path())).await.unwrap()
}

async fn measure(server: &Server, scripts: Scripts, keys: u64) {
    let store = open(server, scripts, keys).await;
    // The peers are there before the records.
    let peers: Vec<_> = (0..PROVIDERS).map(|peer| record(u64::MAX - peer, peer)).collect();
    store.insert(peers.into(), NOW).await.unwrap();
    let before = info(server, "memory", "used_memory:");
    let all: Vec<ProviderRecord> = (0..keys).map(|number| record(number, number % PROVIDERS)).collect();
    let cpu = Cpu::now(server);
    write(&*store, &all, BATCH).await;
    let memory = (info(server, "memory", "used_memory:") - before) / keys as f64;
    println!("  {memory:.1} bytes per record, overhead of Redis included");
    println!("  {:.2} µs of CPU per new record in batches of {BATCH}", cpu.each(server, keys));
    let later: Vec<_> = all
        .iter()
        .map(|of| ProviderRecord { expires: of.expires.saturating_add(LIFE), ..of.clone() })
        .collect();
    let cpu = Cpu::now(server);
    write(&*store, &later, BATCH).await;
    println!("  {:.2} µs of CPU per refresh in batches of {BATCH}", cpu.each(server, keys));
    let wanted: Vec<ContentKey> = (0..keys).map(key).collect();
    let batched = read(server, &*store, &wanted, BATCH, "batches").await;
    let single = read(server, &*store, &wanted[..wanted.len().min(50_000)], 1, "single calls").await;
    println!("  {:.1} times the reads per CPU", single / batched);
    store.close().await.unwrap();
}

/// Of 200 to 500 bytes, which take the place of the version before.
fn put(number: u64, version: u64) -> ValuePut {
    let value = |version: u64| {
        let mut value = vec![0; 200 + (number % 300) as usize];
        Chance::of(number ^ (version << 40)).fill(&mut value);
        Bytes::from(value)
    };
    let key = ValueKey::new(&[&b"/ipns/"[..], peer(number).as_bytes()].concat()).unwrap();
    let (received, expires) = (NOW, NOW.saturating_add(LIFE));
    let record = ValueRecord { value: value(version), received, expires };
    ValuePut { key, seen: version.checked_sub(1).map(value), record }
}

async fn measure_values(server: &Server, scripts: Scripts, records: u64) {
    let store = open(server, scripts, records).await;
    let values = store.values().unwrap();
    let before = info(server, "memory", "used_memory:");
    for (version, what) in [(0, "new"), (1, "replaced")] {
        let cpu = Cpu::now(server);
        let numbers: Vec<u64> = (0..records).collect();
        for numbers in numbers.chunks(BATCH_LEN_MAX) {
            let batch = numbers.iter().map(|number| put(*number, version)).collect();
            let outcomes = values.put_if(batch, NOW).await.unwrap();
            assert!(outcomes.iter().all(|outcome| *outcome == PutOutcome::Stored));
        }
        let each = cpu.each(server, records);
        println!("  {each:.2} µs of CPU per record that is {what} in batches of {BATCH_LEN_MAX}");
    }
    let memory = (info(server, "memory", "used_memory:") - before) / records as f64;
    println!("  {memory:.1} bytes per record, overhead of Redis included");
    let cpu = Cpu::now(server);
    for first in (0..records).step_by(BATCH_LEN_MAX) {
        let keys =
            (first..records.min(first + BATCH_LEN_MAX as u64)).map(|number| put(number, 0).key).collect();
        values.get(keys, NOW).await.unwrap();
    }
    println!("  {:.2} µs of CPU per read in batches of {BATCH_LEN_MAX}", cpu.each(server, records));
    println!("  {:?}", values.estimate_values().await.unwrap());
    store.close().await.unwrap();
}

async fn write(store: &dyn ProviderStore, records: &[ProviderRecord], len: usize) {
    for batch in records.chunks(len) {
        store.insert(batch.into(), NOW).await.unwrap();
    }
}

async fn read(server: &Server, store: &dyn ProviderStore, keys: &[ContentKey], len: usize, how: &str) -> f64 {
    let cpu = Cpu::now(server);
    for batch in keys.chunks(len) {
        let found = store.providers(Arc::from(batch), NOW, NonZeroU32::new(128).unwrap()).await.unwrap();
        assert!(found.iter().all(|found| found.providers().len() == 1));
    }
    let each = cpu.each(server, keys.len() as u64);
    println!("  {each:.2} µs of CPU per read in {how} of {len}");
    each
}

/// The CPU that a server has used, in seconds.
struct Cpu(f64);

impl Cpu {
    fn now(server: &Server) -> Self {
        Self(info(server, "cpu", "used_cpu_user:") + info(server, "cpu", "used_cpu_sys:"))
    }

    fn each(&self, server: &Server, count: u64) -> f64 {
        (Self::now(server).0 - self.0) * 1e6 / count as f64
    }
}

fn info(server: &Server, section: &str, name: &str) -> f64 {
    let said = server.command(&["INFO", section]).unwrap();
    said.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap()
}

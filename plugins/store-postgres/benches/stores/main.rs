//! What records cost a PostgreSQL server, CPU and disk, beside hydra-booster's layout with one statement per request on the same
//! server; how that changes with the number of records and with rounds of refreshes.
//!
//! `cargo bench -p hydra-store-postgres --bench stores -- [--sizes 200000,1000000] [--rounds 5] [--round-records 200000]` starts
//! servers of its own in temporary directories.
//!
//! With `--values 1000000` value records are measured instead.
//!
//! The CPU of the backends, which is what a statement costs, is told apart from that of all processes: writers of WAL and pages, and
//! autovacuum. The two layouts are compared with autovacuum at its default pace. Looking once a second, as in the rounds of refreshes, it
//! costs a server some 12 ms of CPU in each second whatever is written, and hydra-booster's 10,000 statements wait for the disk for most
//! of a minute: they would be charged with a quarter of their cost that they do not cause.
//!
//! Records are measured after a checkpoint, so that the first change of a page writes all of it to the WAL. That is the state of a large
//! table with keys in no order, where few pages are changed twice between two checkpoints, and dear for both layouts.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "figures are for the terminal")]

mod booster;
mod server;
mod values;

use booster::{Beside, Booster};
use hydra_api::{ContentKey, Plugin, ProviderRecord, ProviderStore, Scope, UnixSeconds};
use hydra_conformance::given::{Chance, LIFE, NOW, key, record};
use hydra_conformance::servers::Postgres as Server;
use hydra_store_postgres::{Config, Postgres};
use server::{Cpu, Micros, bytes, settle};
use std::num::NonZeroU32;
use std::sync::Arc;

/// Records of a window of the write queue, by default.
const WINDOW: usize = 4_096;
/// Batches of a node at ease, and the longest, which it sends when it has more to do than the store takes.
const WRITE_BATCHES: [usize; 2] = [256, 1_024];
const READ_BATCHES: [usize; 2] = [64, 256];
/// Ten providers announce half of all records, in a public network.
const PROVIDERS: u64 = 20_000;
/// Requests of a measurement: new records, and reads.
const MEASURED: u64 = 50_000;
/// Of the servers: larger than the defaults, which are for a small machine, and durable.
const SETTINGS: [&str; 3] = ["shared_buffers=1GB", "max_wal_size=4GB", "fsync=on"];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Some(records) = argument("--values") {
        let server = Server::start(&SETTINGS).unwrap();
        let store = open(&server, "hydra").await;
        values::measure(&server, &*store, records[0]).await;
        store.close().await.unwrap();
        return;
    }
    let sizes = argument("--sizes").unwrap_or_else(|| vec![200_000]);
    let rounds = argument("--rounds").map_or(5, |rounds| rounds[0]);
    let round_records = argument("--round-records").map_or(200_000, |records| records[0]);
    compare_sizes(sizes).await;
    // A round takes seconds here and 22 hours in a network: autovacuum looks once a second instead of once a minute.
    let settings: Vec<&str> = SETTINGS.into_iter().chain(["autovacuum_naptime=1"]).collect();
    let server = Server::start(&settings).unwrap();
    for order in [Order::Same, Order::Other] {
        refresh(&server, order, rounds, round_records).await;
    }
}

async fn compare_sizes(sizes: Vec<u64>) {
    let server = Server::start(&SETTINGS).unwrap();
    let booster = Booster::open(&server).await;
    let store = open(&server, "hydra").await;
    let mut filled = 0;
    for size in sizes {
        compare(&server, &*store, &booster, &mut filled, size).await;
    }
    store.close().await.unwrap();
}

/// The numbers that follow this word on the command line.
fn argument(name: &str) -> Option<Vec<u64>> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.next()?;
    Some(arguments.next()?.split(',').map(|number| number.parse().unwrap()).collect())
}

async fn open(server: &Server, schema: &str) -> Arc<dyn ProviderStore> {
    let config = Config {
        hosts: vec![format!("127.0.0.1:{}", server.port())],
        user: "hydra".to_owned(),
        schema: schema.to_owned(),
        connections_max: 2,
        statement_timeout_ms: 60_000,
        refresh_slack_s: 0,
        ..Config::default()
    };
    Postgres::open(config, &Scope::new(std::env::temp_dir())).await.unwrap()
}

/// Half of the records are of ten providers.
fn nth(number: u64) -> ProviderRecord {
    record(number, if number.is_multiple_of(2) { number / 2 % 10 } else { number % PROVIDERS })
}

async fn compare(server: &Server, store: &dyn ProviderStore, booster: &Booster, filled: &mut u64, size: u64) {
    fill(store, *filled..size).await;
    booster.fill(*filled..size).await;
    settle(server);
    println!("{size} records");
    let (ours, theirs) = (bytes(server, "hydra"), bytes(server, "booster"));
    let each = |bytes: u64| bytes as f64 / size as f64;
    println!(
        "  disk, bytes per record:        {:8.0} {:8.0}  {:5.2}",
        each(ours),
        each(theirs),
        each(ours) / each(theirs)
    );
    compare_reads(server, store, booster, size).await;
    *filled = compare_writes(server, store, booster, size).await;
}

async fn compare_reads(server: &Server, store: &dyn ProviderStore, booster: &Booster, size: u64) {
    let mut chance = Chance::of(size);
    let wanted: Vec<u64> = (0..MEASURED).map(|_| chance.below(size)).collect();
    let absent: Vec<u64> = (0..MEASURED).map(|_| u64::MAX / 2 + chance.below(size)).collect();
    for (what, wanted, found) in
        [("reads, present key", &wanted, true), ("reads, absent key", &absent, false)]
    {
        let cpu = Cpu::now(server);
        booster.read(&wanted[..wanted.len() / 5], found).await;
        let theirs = cpu.micros_each(server, MEASURED / 5);
        for batch_len in READ_BATCHES {
            let cpu = Cpu::now(server);
            read(store, wanted, batch_len, found).await;
            show(what, batch_len, cpu.micros_each(server, MEASURED), theirs);
        }
    }
}

/// Returns up to which number both have the records.
async fn compare_writes(server: &Server, store: &dyn ProviderStore, booster: &Booster, size: u64) -> u64 {
    let part = MEASURED / 5;
    let mut theirs = Vec::new();
    for (what, beside, from) in [
        ("writes, new record, beside one connection", Beside::Alone, size),
        ("writes, new record, beside eight connections", Beside::Others, size + part),
    ] {
        settle(server);
        let cpu = Cpu::now(server);
        booster.write_singly(from..from + part, beside).await;
        theirs.push((what, cpu.micros_each(server, part)));
    }
    for (batch_len, from) in WRITE_BATCHES.into_iter().zip([size, size + MEASURED]) {
        settle(server);
        let cpu = Cpu::now(server);
        write(store, from..from + MEASURED, batch_len, NOW.saturating_add(LIFE)).await;
        let ours = cpu.micros_each(server, MEASURED);
        theirs.iter().for_each(|(what, theirs)| show(what, batch_len, ours, *theirs));
    }
    let end = size + MEASURED * WRITE_BATCHES.len() as u64;
    booster.fill(size + 2 * part..end).await;
    end
}

fn show(what: &str, batch_len: usize, ours: Micros, theirs: Micros) {
    println!(
        "  {what}, batches of {batch_len:4}, µs of CPU of backends: {:7.2} {:7.2} {:5.1} times as many; of all processes: {:7.2} {:7.2} {:5.1}",
        ours.backends,
        theirs.backends,
        theirs.backends / ours.backends,
        ours.all,
        theirs.all,
        theirs.all / ours.all
    );
}

/// As the engine writes: windows, sorted by key and cut into batches.
async fn fill(store: &dyn ProviderStore, numbers: std::ops::Range<u64>) {
    write(store, numbers, WRITE_BATCHES[1], NOW.saturating_add(LIFE)).await;
}

async fn write(
    store: &dyn ProviderStore,
    numbers: std::ops::Range<u64>,
    batch_len: usize,
    expires: UnixSeconds,
) {
    let numbers: Vec<u64> = numbers.collect();
    write_all(store, &numbers, batch_len, expires).await;
}

async fn write_all(store: &dyn ProviderStore, numbers: &[u64], batch_len: usize, expires: UnixSeconds) {
    for window in numbers.chunks(WINDOW) {
        let mut window: Vec<_> =
            window.iter().map(|number| ProviderRecord { expires, ..nth(*number) }).collect();
        window.sort_by(|a, b| (&a.key, &a.provider).cmp(&(&b.key, &b.provider)));
        for batch in window.chunks(batch_len) {
            store.insert(batch.into(), NOW).await.unwrap();
        }
    }
}

async fn read(store: &dyn ProviderStore, numbers: &[u64], batch_len: usize, found: bool) {
    for batch in numbers.chunks(batch_len) {
        let keys: Vec<ContentKey> = batch.iter().map(|number| key(*number)).collect();
        let answers = store.providers(keys.into(), NOW, NonZeroU32::new(128).unwrap()).await.unwrap();
        assert!(answers.iter().all(|answer| answer.providers().is_empty() != found));
    }
}

/// In which order a round announces the records.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// That of the round before, from another beginning: records that were written together are refreshed together.
    Same,
    /// Another one each time: the providers of a network announce beside each other.
    Other,
}

impl Order {
    fn of(self, round: u64, records: u64) -> Vec<u64> {
        // Primes of which no number of records is a multiple.
        const STEPS: [u64; 5] = [7_919, 104_729, 1_299_709, 15_485_863, 32_452_843];
        let start = Chance::of(records + round).below(records);
        let step = match self {
            Self::Same => 1,
            Self::Other => STEPS[round as usize % STEPS.len()],
        };
        (0..records).map(|number| (start + number * step) % records).collect()
    }
}

/// Each round announces every record anew, as providers do every 22 hours.
async fn refresh(server: &Server, order: Order, rounds: u64, records: u64) {
    let schema = format!("{order:?}").to_lowercase();
    let store = open(server, &schema).await;
    fill(&*store, 0..records).await;
    settle(server);
    let first = bytes(server, &schema);
    println!("{records} records, refreshed {rounds} times, order {order:?}");
    for round in 1..=rounds {
        let cpu = Cpu::now(server);
        let expires = NOW.saturating_add(LIFE).saturating_add(std::time::Duration::from_secs(round * 3_600));
        write_all(&*store, &order.of(round, records), WRITE_BATCHES[1], expires).await;
        let Micros { backends, all } = cpu.micros_each(server, records);
        let size = bytes(server, &schema) as f64 / first as f64;
        println!(
            "  round {round:3}: {all:6.2} µs of CPU per record, {backends:6.2} of backends, disk {size:.2} of the first"
        );
    }
    store.close().await.unwrap();
}

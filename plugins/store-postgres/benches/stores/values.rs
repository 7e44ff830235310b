//! What value records cost a server: disk, and CPU for those that are new, replaced and read.

use crate::server::{Cpu, bytes, settle};
use hydra_api::value::BATCH_LEN_MAX;
use hydra_api::{FoundValue, ProviderStore, PutOutcome, UnixSeconds, ValueKey, ValuePut, ValueRecord};
use hydra_conformance::given::{Chance, LIFE, NOW, peer};
use hydra_conformance::servers::Postgres as Server;
use std::time::Duration;

/// Batches of a node at ease, and the longest.
const BATCHES: [usize; 2] = [16, BATCH_LEN_MAX];
/// Requests of a measurement.
const MEASURED: u64 = 50_000;

fn key(number: u64) -> ValueKey {
    ValueKey::new(&[&b"/ipns/"[..], peer(number).as_bytes()].concat()).unwrap()
}

/// 200 to 500 bytes, which do not compress.
fn value(number: u64, version: u64) -> Vec<u8> {
    let mut value = vec![0; 200 + (number % 300) as usize];
    Chance::of(number ^ (version << 40)).fill(&mut value);
    value
}

fn put(number: u64, version: u64, expires: UnixSeconds) -> ValuePut {
    let seen = version.checked_sub(1).map(|before| value(number, before).into());
    let record = ValueRecord { value: value(number, version).into(), received: NOW, expires };
    ValuePut { key: key(number), seen, record }
}

async fn write(store: &dyn ProviderStore, numbers: &[u64], version: u64, batch_len: usize) {
    let expires = NOW.saturating_add(LIFE).saturating_add(Duration::from_secs(3600 * version));
    for numbers in numbers.chunks(batch_len) {
        let batch = numbers.iter().map(|number| put(*number, version, expires)).collect();
        let outcomes = store.values().unwrap().put_if(batch, NOW).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == PutOutcome::Stored));
    }
}

async fn read(store: &dyn ProviderStore, numbers: &[u64], batch_len: usize) {
    for numbers in numbers.chunks(batch_len) {
        let keys = numbers.iter().map(|number| key(*number)).collect();
        let found = store.values().unwrap().get(keys, NOW).await.unwrap();
        assert!(found.iter().all(|found| matches!(found, FoundValue::Known(Some(_)))));
    }
}

pub(crate) async fn measure(server: &Server, store: &dyn ProviderStore, records: u64) {
    let all: Vec<u64> = (0..records).collect();
    let cpu = Cpu::now(server);
    write(store, &all, 0, BATCH_LEN_MAX).await;
    let each = cpu.micros_each(server, records);
    println!("{records} value records of 200 to 500 bytes");
    println!(
        "  new, batches of {BATCH_LEN_MAX}: {:.1} µs of CPU of backends, {:.1} of all",
        each.backends, each.all
    );
    settle(server);
    let disk = || bytes(server, "hydra") as f64 / records as f64;
    println!("  disk, bytes per record: {:.0}", disk());
    let mut chance = Chance::of(records);
    for (at, batch_len) in (0..).zip(BATCHES) {
        let some: Vec<u64> = (0..MEASURED.min(records)).map(|_| chance.below(records)).collect();
        let cpu = Cpu::now(server);
        read(store, &some, batch_len).await;
        let each = cpu.micros_each(server, some.len() as u64);
        println!("  reads, batches of {batch_len}: {:.1} µs of CPU of backends", each.backends);
        settle(server);
        let cpu = Cpu::now(server);
        write(store, &all, at + 1, batch_len).await;
        let each = cpu.micros_each(server, records);
        println!(
            "  replaced, batches of {batch_len}: {:.1} µs of CPU of backends, {:.1} of all; disk, bytes per record: {:.0}",
            each.backends,
            each.all,
            disk()
        );
    }
    let hot = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'value_records'";
    println!("  updates in place: {}", server.query("hydra", hot).unwrap()[0]);
}

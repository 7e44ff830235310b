//! Keys that many provide: a read takes as much of them as its limit, however the planner sees it.

use crate::{Config, NOW, Server, config, open, trial};
use hydra_api::Found;
use hydra_conformance::given::{batch, key, record};
use hydra_store_postgres::Prepared;
use libtest_mimic::Trial;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// Keys, with so many providers each.
const HOT_KEYS: u64 = 40;
const PROVIDERS: u64 = 1_000;
const LIMIT: NonZeroU32 = NonZeroU32::new(16).unwrap();
/// A session reports its counts when it has been idle for ten seconds, or with a statement a second later.
const COUNTED_WITHIN: Duration = Duration::from_secs(15);

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("a_read_that_is_planned_each_time_touches_no_more_of_a_hot_key_than_its_limit", &[], limited)]
}

/// The sample of the planner finds the same few keys again and again, and shows it no other.
async fn limited(server: Server) {
    let store = open(Config { prepared: Prepared::Off, ..config(server.port()) }).await.unwrap();
    for hot in 0..HOT_KEYS {
        let records: Vec<_> = (0..PROVIDERS).map(|provider| record(hot, provider)).collect();
        store.insert(batch(&records), NOW).await.unwrap();
    }
    let alone: Vec<_> = (HOT_KEYS..HOT_KEYS + 40_000).map(|number| record(number, number % 10)).collect();
    for records in alone.chunks(1_000) {
        store.insert(batch(records), NOW).await.unwrap();
    }
    server.execute("hydra", "VACUUM ANALYZE").unwrap();
    let wanted: Vec<_> = (0..HOT_KEYS).map(key).collect();
    let before = entries_read(&server);
    let found = store.providers(wanted.into(), NOW, LIMIT).await.unwrap();
    let is_full =
        |found: &Found| matches!(found, Found::Known(providers) if providers.len() == LIMIT.get() as usize);
    assert!(found.iter().all(is_full));
    let since = Instant::now();
    while entries_read(&server) == before && since.elapsed() < COUNTED_WITHIN {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        store.providers([key(HOT_KEYS)].as_slice().into(), NOW, LIMIT).await.unwrap();
    }
    // A read of a full key looks twice: from a random provider on as well.
    let read = entries_read(&server) - before;
    assert!(read > 0 && read < HOT_KEYS * u64::from(LIMIT.get()) * 8, "{read} entries of the index");
}

/// Entries of the index of the records that statements have got.
fn entries_read(server: &Server) -> u64 {
    let query =
        "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelid = 'hydra.records_pkey'::regclass";
    server.query("hydra", query).unwrap()[0].trim().parse().unwrap()
}

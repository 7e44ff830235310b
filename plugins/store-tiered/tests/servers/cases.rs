//! The cases.

use hydra_api::{
    Causes, Found, Inserted, ProviderStore, Registry, Scope, Store, StoreError, StoreErrorKind, Value,
};
use hydra_conformance::given::{NOW, key, record};
use hydra_conformance::servers::{Postgres as PostgresServer, Redis as RedisServer};
use hydra_store_postgres::Postgres;
use hydra_store_redis::Redis;
use hydra_store_tiered::Tiered;
use serde_json::json;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long something may take on a busy machine that must end at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tiered store, and its servers.
struct Rig {
    store: Arc<dyn ProviderStore>,
    redis: RedisServer,
    postgres: PostgresServer,
}

fn servers() -> (RedisServer, PostgresServer) {
    let program = RedisServer::installed().unwrap_or_else(|| "redis-server".into());
    (RedisServer::start(&program, &[]).unwrap(), PostgresServer::start(&[]).unwrap())
}

fn table(redis: &RedisServer, postgres: &PostgresServer) -> Value {
    let host = |port: u16| json!([format!("127.0.0.1:{port}")]);
    json!({ "tiers": [
        { "kind": "redis", "hosts": host(redis.port()), "buckets_log2": 10, "connect_timeout_ms": 500, "statement_timeout_ms": 500 },
        { "kind": "postgres", "hosts": host(postgres.port()), "connections_max": 4, "refresh_slack_s": 0 },
    ] })
}

async fn open(table: Value) -> Arc<dyn ProviderStore> {
    let mut registry = Registry::default();
    registry.add::<Postgres>().add::<Redis>().add::<Tiered>();
    let (registry, dir) = (Arc::new(registry), tempfile::tempdir().unwrap());
    let scope = Scope::new(dir.path()).with_registry(Arc::clone(&registry));
    let opened = registry.find::<Store>("tiered").unwrap().open(table, &scope).await;
    opened.unwrap_or_else(|error| panic!("{}", Causes(&error)))
}

impl Rig {
    async fn start() -> Self {
        let (redis, postgres) = servers();
        Self { store: open(table(&redis, &postgres)).await, redis, postgres }
    }

    async fn insert(&self, numbers: Range<u64>) {
        insert(&*self.store, numbers).await;
    }

    async fn has(&self, numbers: Range<u64>) {
        assert_eq!(count(&self.read(numbers.clone()).await.unwrap()), numbers.count());
    }

    async fn read(&self, numbers: Range<u64>) -> Result<Vec<Found>, StoreError> {
        read(&*self.store, numbers).await
    }

    fn keys_of_redis(&self) -> u64 {
        self.redis.command(&["DBSIZE"]).unwrap().parse().unwrap()
    }
}

async fn insert(store: &dyn ProviderStore, numbers: Range<u64>) {
    let records: Vec<_> = numbers.map(|number| record(number, number % 3)).collect();
    let call = tokio::time::timeout(PATIENCE, store.insert(records.into(), NOW)).await;
    let inserted = call.expect("an insert takes no end").unwrap_or_else(|error| panic!("{}", Causes(&error)));
    assert_eq!(inserted, Inserted::All);
}

async fn read(store: &dyn ProviderStore, numbers: Range<u64>) -> Result<Vec<Found>, StoreError> {
    let call = store.providers(numbers.map(key).collect(), NOW, NonZeroU32::new(100).unwrap());
    tokio::time::timeout(PATIENCE, call).await.expect("a read takes no end")
}

fn count(found: &[Found]) -> usize {
    found.iter().filter(|found| found.providers().len() == 1).count()
}

/// Waits until this is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !is_so().await {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn file() {
    let path = format!("{}/../../config/tiered.toml", env!("CARGO_MANIFEST_DIR"));
    let file: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let mut table = serde_json::to_value(&file["store"]).unwrap();
    assert_eq!(table.as_object_mut().unwrap().remove("kind").unwrap(), "tiered");
    let (redis, postgres) = servers();
    for (tier, kind, port) in [(0, "redis", redis.port()), (1, "postgres", postgres.port())] {
        assert_eq!(table["tiers"][tier]["kind"], kind);
        table["tiers"][tier]["hosts"] = json!([format!("127.0.0.1:{port}")]);
    }
    let rig = Rig { store: open(table).await, redis, postgres };
    rig.insert(0..100).await;
    rig.has(0..100).await;
    rig.has(0..100).await;
    assert!(rig.keys_of_redis() > 0);
}

pub(crate) async fn redis_killed() {
    let mut rig = Rig::start().await;
    rig.insert(0..50).await;
    rig.has(0..50).await;
    rig.redis.kill().unwrap();
    for _ in 0..10 {
        rig.has(0..50).await;
        rig.insert(0..60).await;
        rig.has(0..60).await;
    }
    // It is empty then: it keeps nothing.
    rig.redis.launch().unwrap();
    until("redis is used again", async || {
        rig.has(0..60).await;
        rig.keys_of_redis() > 0
    })
    .await;
    rig.has(0..60).await;
    rig.postgres.stop();
    assert_eq!(count(&rig.read(0..60).await.unwrap()), 60);
}

pub(crate) async fn redis_emptied() {
    let mut rig = Rig::start().await;
    rig.insert(0..50).await;
    // Some were read as absent, and then written.
    rig.read(50..60).await.unwrap();
    rig.insert(50..60).await;
    rig.has(0..60).await;
    rig.redis.command(&["FLUSHALL"]).unwrap();
    rig.has(0..60).await;
    rig.has(0..60).await;
    // Between two calls, so that no call sees it fail.
    rig.redis.kill().unwrap();
    rig.redis.launch().unwrap();
    rig.has(0..60).await;
    until("redis is used again", async || {
        rig.has(0..60).await;
        rig.keys_of_redis() > 0
    })
    .await;
}

pub(crate) async fn redis_late() {
    let (mut redis, postgres) = servers();
    redis.kill().unwrap();
    let mut rig = Rig { store: open(table(&redis, &postgres)).await, redis, postgres };
    rig.insert(0..50).await;
    rig.has(0..50).await;
    rig.redis.launch().unwrap();
    until("redis is filled", async || {
        rig.has(0..50).await;
        rig.keys_of_redis() > 0
    })
    .await;
}

pub(crate) async fn postgres_stopped() {
    let mut rig = Rig::start().await;
    rig.insert(0..50).await;
    rig.has(0..50).await;
    rig.postgres.stop();
    rig.has(0..50).await;
    let found = rig.read(40..60).await.unwrap();
    assert_eq!(count(&found), 10);
    assert!(
        found[10..].iter().all(|found| *found == Found::Unknown(StoreErrorKind::Unavailable)),
        "{found:?}"
    );
    assert_eq!(rig.read(50..60).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    let records: Vec<_> = (50..60).map(|number| record(number, 1)).collect();
    assert_eq!(rig.store.insert(records.into(), NOW).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    rig.postgres.launch().unwrap();
    until("postgres is back", async || rig.read(50..60).await.is_ok()).await;
    rig.insert(50..60).await;
    rig.has(0..60).await;
}

pub(crate) async fn two_nodes() {
    let rig = Rig::start().await;
    let other = open(table(&rig.redis, &rig.postgres)).await;
    for number in 0..30 {
        assert_eq!(count(&read(&*other, number..number + 1).await.unwrap()), 0);
        rig.insert(number..number + 1).await;
        assert_eq!(count(&read(&*other, number..number + 1).await.unwrap()), 1);
    }
    other.close().await.unwrap();
    rig.has(0..30).await;
}

//! A store under test, and what is asked of it.

use hydra_api::{
    Causes, Found, Inserted, OpenError, Plugin, ProviderRecord, ProviderStore, Purpose, RecordOutcome, Scope,
    StoreError, StoreErrorKind, UnixSeconds,
};
use hydra_conformance::given::{NOW, key, record};
use hydra_conformance::servers::Redis as Server;
use hydra_store_redis::{Config, Redis};
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long something may take on a busy machine that must end at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Shop(pub(crate) Arc<dyn ProviderStore>);

/// The server program.
pub(crate) fn program() -> PathBuf {
    Server::installed().unwrap_or_else(|| "redis-server".into())
}

/// A server with these settings.
pub(crate) fn server(settings: &[&str]) -> Server {
    Server::start(&program(), settings).unwrap()
}

/// A store at these ports, with short time limits.
pub(crate) fn config(ports: &[u16]) -> Config {
    Config {
        hosts: ports.iter().map(|port| format!("127.0.0.1:{port}")).collect(),
        buckets_log2: 10,
        connections_max: 4,
        connect_timeout_ms: 500,
        statement_timeout_ms: 500,
        ..Config::default()
    }
}

/// A server that has just been started again and reads its data for seconds, so many keys beside these records; and a store from before.
pub(crate) async fn that_loads(records: Range<u64>, fillers: u32) -> (Server, Shop) {
    let slowly =
        ["--save", "3600 1", "--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024"];
    let mut server = server(&slowly);
    let shop = Shop::of(config(&[server.port()])).await;
    shop.insert(records).await;
    let fill = format!("for number = 1, {fillers} do redis.call('SET', 'filler' .. number, '') end");
    server.command(&["EVAL", &fill, "0"]).unwrap();
    server.stop();
    server.launch().unwrap();
    (server, shop)
}

pub(crate) async fn open(config: Config) -> Result<Shop, OpenError> {
    open_for(Purpose::Serve, config).await
}

pub(crate) async fn open_for(purpose: Purpose, config: Config) -> Result<Shop, OpenError> {
    let dir = tempfile::tempdir().unwrap();
    Redis::open(config, &Scope::new(dir.path()).with_purpose(purpose)).await.map(Shop)
}

/// Records of as many keys and of three providers.
pub(crate) fn records(numbers: Range<u64>) -> Vec<ProviderRecord> {
    numbers.map(|number| record(number, number % 3)).collect()
}

impl Shop {
    pub(crate) async fn of(config: Config) -> Self {
        open(config).await.unwrap_or_else(|error| panic!("{}", Causes(&error)))
    }

    pub(crate) async fn try_insert(&self, numbers: Range<u64>) -> Result<Inserted, StoreError> {
        let call = self.0.insert(records(numbers).into(), NOW);
        tokio::time::timeout(PATIENCE, call).await.expect("an insert takes no end")
    }

    /// Inserts records, all of which are taken.
    pub(crate) async fn insert(&self, numbers: Range<u64>) {
        let inserted = self.try_insert(numbers).await.unwrap_or_else(|error| panic!("{}", Causes(&error)));
        assert_eq!(inserted, Inserted::All);
    }

    pub(crate) async fn try_read(&self, numbers: Range<u64>) -> Result<Vec<Found>, StoreError> {
        self.try_read_at(numbers, NOW).await
    }

    pub(crate) async fn try_read_at(
        &self,
        numbers: Range<u64>,
        now: UnixSeconds,
    ) -> Result<Vec<Found>, StoreError> {
        let call = self.0.providers(numbers.map(key).collect(), now, NonZeroU32::new(100).unwrap());
        tokio::time::timeout(PATIENCE, call).await.expect("a read takes no end")
    }

    /// Whether each of these records is there, as it was inserted and no other; none if that is not known.
    pub(crate) async fn look(&self, numbers: Range<u64>) -> Vec<Option<bool>> {
        let Ok(found) = self.try_read(numbers.clone()).await else { return vec![None; numbers.count()] };
        let state = |(number, found): (u64, Found)| {
            let providers = found.known()?;
            let expected = record(number, number % 3);
            for provider in &providers {
                assert_eq!(provider.peer, expected.provider, "a foreign provider of key {number}");
                assert_eq!(provider.expires, expected.expires, "a foreign expiry of key {number}");
            }
            Some(!providers.is_empty())
        };
        numbers.zip(found).map(state).collect()
    }

    /// All of these records are there.
    pub(crate) async fn has(&self, numbers: Range<u64>) {
        let looked = self.look(numbers.clone()).await;
        assert_eq!(looked, vec![Some(true); looked.len()], "{numbers:?}");
    }

    /// An insert and a read fail, as this kind.
    pub(crate) async fn fails(&self, kind: StoreErrorKind) {
        let insert = self.try_insert(0..20).await;
        assert_eq!(insert.as_ref().map_err(StoreError::kind).unwrap_err(), kind, "{insert:?}");
        let read = self.try_read(0..20).await;
        assert_eq!(read.as_ref().map_err(StoreError::kind).unwrap_err(), kind, "{read:?}");
    }

    /// Inserts and reads again until both succeed.
    pub(crate) async fn recovers(&self, numbers: Range<u64>) -> Duration {
        let since = Instant::now();
        loop {
            let inserted = self.try_insert(numbers.clone()).await;
            if inserted.as_ref().is_ok_and(|inserted| *inserted == Inserted::All) {
                self.has(numbers).await;
                return since.elapsed();
            }
            assert!(since.elapsed() < PATIENCE, "the store does not recover: {inserted:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// How many records of an insert had no room.
pub(crate) fn without_room(inserted: &Inserted) -> usize {
    match inserted {
        Inserted::All => 0,
        Inserted::Each(outcomes) => {
            outcomes.iter().filter(|outcome| **outcome == RecordOutcome::NoRoom).count()
        }
    }
}

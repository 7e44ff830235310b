//! The store: what the node calls.

use crate::config::{Config, Mode};
use crate::keyspace::{Keyspace, Renewal};
use crate::memory::Memory;
use crate::net::{SYSTEM, during};
use crate::peers::Peers;
use crate::purge::Purge;
use crate::{delete, estimate, insert, read, scan, survey};
use hydra_api::{
    ContentKey, Cursor, Deleted, Deletion, Durability, Estimate, Expiry, Found, Inserted, Metric, OpenError,
    Page, Plugin, ProviderRecord, ProviderStore, Purged, Purpose, Scope, Sharing, Store, StoreError,
    StoreProfile, UnixSeconds, ValueStore, async_trait,
};
use hydra_remote::{check_hosts, check_pair, check_secret};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Keys of one read and records of one insert: larger batches gain little, and hold up a server that does one thing at a time.
const READ_BATCH_LEN_MAX: NonZeroUsize = NonZeroUsize::new(256).unwrap();
const WRITE_BATCH_LEN_MAX: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// With `appendfsync everysec` the log is on the disk after two seconds at most (Redis documentation, *Persistence*).
const WINDOW: Duration = Duration::from_secs(2);

/// Keeps records in Redis.
#[derive(Debug)]
pub struct Redis {
    pub(crate) keys: Arc<Keyspace>,
    peers: Peers,
    pub(crate) purge: Purge,
    memory: Memory,
    profile: StoreProfile,
    closed: AtomicBool,
}

impl Plugin for Redis {
    type Role = Store;
    type Config = Config;
    const KIND: &'static str = "redis";
    const SUMMARY: &'static str =
        "keeps records in Redis 6.2 or later or in Valkey, shared by all nodes that use the same prefix";

    fn check_config(config: &Config) -> Result<(), OpenError> {
        let database = if config.mode == Mode::Cluster && config.database != 0 {
            let text = format!(
                "a cluster has only database 0: {} cannot be selected; remove the key",
                config.database
            );
            Err(OpenError::config("database", text))
        } else {
            Ok(())
        };
        let pair = check_pair(
            ("tls.cert_file", config.tls.cert_file.as_deref()),
            ("tls.key_file", config.tls.key_file.as_deref()),
        );
        OpenError::all([check_hosts("hosts", &config.hosts), database, pair])
    }

    async fn open(config: Config, scope: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        Ok(Arc::new(Self::new(config, scope).await?))
    }
}

impl Redis {
    async fn new(mut config: Config, scope: &Scope) -> Result<Self, OpenError> {
        for file in [&mut config.tls.ca_file, &mut config.tls.cert_file, &mut config.tls.key_file] {
            *file = file.take().map(|file| scope.resolve(&file));
        }
        Self::check_config(&config)?;
        check_secret("password", config.password.as_ref())?;
        check_secret("sentinel.password", config.sentinel.password.as_ref())?;
        let profile = profile(&config);
        let peers = Peers::new(usize::try_from(config.peers_cache_len_max).unwrap_or(usize::MAX));
        let keys = Arc::new(Keyspace::open(config, scope.purpose()).await?);
        let mut memory = Memory::default();
        if scope.purpose() == Purpose::Serve {
            memory = survey::survey(&keys.fleet).await;
        }
        Ok(Self { keys, peers, purge: Purge::new(), memory, profile, closed: AtomicBool::new(false) })
    }

    pub(crate) fn open_for(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::closed(operation)) } else { Ok(()) }
    }

    /// Makes sure that the layout is still that of all nodes.
    async fn renew(&self, operation: &'static str) -> Result<(), StoreError> {
        let renewal = self.keys.renew().await.map_err(|fault| fault.into_error(operation))?;
        self.on(renewal);
        Ok(())
    }

    /// Sees in time that the keys were removed.
    pub(crate) async fn look(&self) {
        self.on(self.keys.look().await);
    }

    fn on(&self, renewal: Renewal) {
        if renewal != Renewal::Same {
            self.peers.clear();
        }
    }

    async fn write(&self, batch: &[ProviderRecord], now: UnixSeconds) -> Result<Inserted, StoreError> {
        self.look().await;
        let inserted = insert::insert(&self.keys, &self.peers, batch, now).await?;
        if self.keys.has_looked().await {
            return Ok(inserted);
        }
        // A server may have come back without its keys: then the records lack the rows of their peers, or nobody else finds them.
        self.look().await;
        insert::insert(&self.keys, &self.peers, batch, now).await
    }
}

fn profile(config: &Config) -> StoreProfile {
    let connections = usize::try_from(config.connections_max).ok().and_then(NonZeroUsize::new);
    StoreProfile::builder()
        .concurrency_max(connections.unwrap_or(NonZeroUsize::MIN))
        .read_batch_len_max(READ_BATCH_LEN_MAX)
        .write_batch_len_max(WRITE_BATCH_LEN_MAX)
        .durability(Durability::SurvivesRestart { window: WINDOW })
        .sharing(Sharing::BetweenProcesses)
        .expiry(Expiry::ByPurge)
        .system(SYSTEM)
        .build()
}

#[async_trait]
impl ProviderStore for Redis {
    fn profile(&self) -> StoreProfile {
        self.profile
    }

    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError> {
        self.open_for("insert")?;
        if batch.is_empty() {
            return Ok(Inserted::All);
        }
        during("insert", self.write(&batch, now)).await
    }

    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        self.open_for("providers")?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let read = async {
            self.look().await;
            read::providers(&self.keys, &self.peers, &keys, (now, limit)).await
        };
        during("providers", read).await
    }

    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.open_for("purge_expired")?;
        during("purge_expired", self.purge.step(&self.keys, now, limit.get())).await
    }

    fn expire_by(&self, latest: UnixSeconds) {
        self.purge.expire_by(latest);
    }

    async fn delete(&self, deletion: Deletion, limit: NonZeroU32) -> Result<Deleted, StoreError> {
        self.open_for("delete")?;
        let deleted = async {
            self.look().await;
            delete::delete(&self.keys, &self.peers, deletion, limit).await
        };
        during("delete", deleted).await
    }

    async fn scan(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Page, StoreError> {
        self.open_for("scan")?;
        let page = async {
            if from.is_none() {
                self.renew("scan").await?;
            }
            scan::page(&self.keys, &self.peers, from, (now, limit)).await
        };
        during("scan", page).await
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        self.open_for("estimate")?;
        let estimate = async {
            self.renew("estimate").await?;
            let estimate = estimate::estimate(&self.keys).await?;
            self.memory.read(&self.keys.fleet).await;
            Ok(estimate)
        };
        during("estimate", estimate).await
    }

    fn unknown_because(&self) -> Option<String> {
        self.keys.fleet.in_part().map(|fault| fault.to_string())
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = self.keys.fleet.metrics();
        metrics.extend(self.memory.metrics());
        metrics
    }

    fn values(&self) -> Option<&dyn ValueStore> {
        Some(self)
    }

    async fn close(&self) -> Result<(), StoreError> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // The lease ends by itself too, so a server that is gone is no failure: the servers have every acknowledged record.
        if let Err(fault) = during("close", self.purge.release(&self.keys)).await {
            tracing::debug!(%fault, "cannot release the lease of the purge");
        }
        self.keys.fleet.close();
        Ok(())
    }
}

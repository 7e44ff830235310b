//! The store: what the node calls.

use crate::catalogue::Catalogue;
use crate::config::{Config, Migrate, Prepared};
use crate::connections::{self, Connections, SYSTEM};
use crate::fault::Reported;
use crate::peers::Peers;
use crate::purge::Purge;
use crate::schema::{SchemaError, Tables, Wanted};
use crate::value_table::ValueTable;
use crate::{delete, estimate, insert, read, scan, survey};
use hydra_api::{
    ContentKey, Cursor, Deleted, Deletion, Durability, Estimate, Expiry, Found, Inserted, Metric, OpenError,
    Page, Plugin, ProviderRecord, ProviderStore, Purged, Purpose, Scope, Sharing, Store, StoreError,
    StoreProfile, UnixSeconds, ValueStore, async_trait,
};
use hydra_remote::{check_file, check_hosts, check_pair, check_secret};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Keys of one read and records of one insert: larger batches gain little.
const READ_BATCH_LEN_MAX: NonZeroUsize = NonZeroUsize::new(256).unwrap();
const WRITE_BATCH_LEN_MAX: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// Three times PostgreSQL's `wal_writer_delay`, as its documentation of asynchronous commits says.
const ASYNCHRONOUS_WINDOW: Duration = Duration::from_millis(600);

/// Keeps records in PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    pub(crate) connections: Connections,
    /// Calls that the server has room for; none while it serves, when that is what is open.
    room: Option<NonZeroUsize>,
    pub(crate) tables: Tables,
    peers: Peers,
    pub(crate) purge: Purge,
    catalogue: Catalogue,
    profile: StoreProfile,
    refresh_slack: Duration,
    migrate: Migrate,
    /// Whether value records can be kept, as it was found last.
    values: Mutex<ValueTable>,
    closed: AtomicBool,
}

impl Plugin for Postgres {
    type Role = Store;
    type Config = Config;
    const KIND: &'static str = "postgres";
    const SUMMARY: &'static str =
        "keeps records in PostgreSQL 14 or later, shared by all nodes that use the same schema";

    fn check_config(config: &Config) -> Result<(), OpenError> {
        let pair = check_pair(
            ("tls.client_cert_file", config.tls.client_cert_file.as_deref()),
            ("tls.client_key_file", config.tls.client_key_file.as_deref()),
        );
        OpenError::all([check_hosts("hosts", &config.hosts), pair])
    }

    async fn open(config: Config, scope: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        Ok(Arc::new(Self::new(config, scope).await?))
    }
}

impl Postgres {
    async fn new(mut config: Config, scope: &Scope) -> Result<Self, OpenError> {
        let tls = &mut config.tls;
        for file in [&mut tls.root_cert_file, &mut tls.client_cert_file, &mut tls.client_key_file] {
            *file = file.take().map(|file| scope.resolve(&file));
        }
        Self::check_config(&config)?;
        check(&config)?;
        let hosts = config.hosts.iter().map(|host| connections::shown(host)).collect::<Vec<_>>().join(", ");
        let tables = Tables::new(&config.schema);
        let (migrate, profile) = (config.migrate, profile(&config));
        let refresh_slack = Duration::from_secs(config.refresh_slack_s.into());
        let peers = Peers::new(usize::try_from(config.peers_cache_len_max).unwrap_or(usize::MAX));
        let serves = scope.purpose() == Purpose::Serve;
        if !serves {
            config = alone(config);
        }
        let connections = Connections::open(config).await.map_err(|cause| {
            OpenError::unavailable(format!("cannot connect to PostgreSQL at {hosts}"), Reported(cause))
        })?;
        // A check changes nothing: tables that are missing are made at the start. Who asks for a migration gets it.
        let wanted = match (scope.purpose(), migrate) {
            (Purpose::Migrate, _) => Wanted::Made,
            (Purpose::Check, Migrate::Auto) => Wanted::AllOrNone,
            (Purpose::Use, Migrate::Auto) => Wanted::All,
            (_, Migrate::Auto) => Wanted::Made,
            (_, Migrate::Check) => Wanted::All,
            (_, Migrate::Off) => Wanted::Any,
        };
        let prepared = tables.clone();
        let ready = connections
            .run_plain(move |connection| Box::pin(async move { prepared.prepare(connection, wanted).await }));
        ready
            .await
            .map_err(|cause: SchemaError| OpenError::unavailable("the tables cannot be used", cause))?;
        let values = ValueTable::open(&connections, &tables, scope.purpose(), migrate).await?;
        if let Some(lack) = values.lack(&tables.schema).filter(|_| serves) {
            tracing::warn!("{lack}");
        }
        let room = warn(&connections, profile.concurrency_max).await.filter(|_| !serves);
        let (purge, catalogue, closed) = (Purge::new(), Catalogue::default(), AtomicBool::new(false));
        let values = Mutex::new(values);
        Ok(Self {
            connections,
            room,
            tables,
            peers,
            purge,
            catalogue,
            profile,
            refresh_slack,
            migrate,
            values,
            closed,
        })
    }

    fn value_table(&self) -> ValueTable {
        *self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn open_for(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::closed(operation)) } else { Ok(()) }
    }
}

/// What a command needs that runs beside nodes: one connection, so that it takes no slots of the server from them. Its few statements are
/// sent so that they fit everywhere, as to find out more takes a second connection.
fn alone(config: Config) -> Config {
    Config { connections_max: 1, prepared: Prepared::Off, ..config }
}

/// Mistakes that show before a server is asked.
fn check(config: &Config) -> Result<(), OpenError> {
    let tls = &config.tls;
    check_secret("password", config.password.as_ref())?;
    check_file("tls.root_cert_file", tls.root_cert_file.as_deref())?;
    check_file("tls.client_cert_file", tls.client_cert_file.as_deref())?;
    check_file("tls.client_key_file", tls.client_key_file.as_deref())
}

/// Tells what will hurt; how many of `max` calls at a time the server has room for. A server that does not say is no reason not to
/// start: then it is all of them.
async fn warn(connections: &Connections, max: NonZeroUsize) -> Option<NonZeroUsize> {
    let wanted = u32::try_from(max.get()).unwrap_or(u32::MAX);
    let open = connections.open_len();
    let found = connections.run_plain(move |connection| {
        Box::pin(async move { Ok::<_, SchemaError>(survey::look(connection, wanted, open).await?) })
    });
    match found.await {
        Ok(found) => {
            found.warnings.iter().for_each(|warning| tracing::warn!("PostgreSQL: {warning}"));
            usize::try_from(found.room.min(wanted)).ok().and_then(NonZeroUsize::new)
        }
        Err(error) => {
            tracing::debug!(error = %hydra_api::Causes(&error), "cannot read the settings of the server");
            Some(max)
        }
    }
}

fn profile(config: &Config) -> StoreProfile {
    let connections = usize::try_from(config.connections_max).ok().and_then(NonZeroUsize::new);
    let window = if config.synchronous_commit { Duration::ZERO } else { ASYNCHRONOUS_WINDOW };
    StoreProfile::builder()
        .concurrency_max(connections.unwrap_or(NonZeroUsize::MIN))
        .read_batch_len_max(READ_BATCH_LEN_MAX)
        .write_batch_len_max(WRITE_BATCH_LEN_MAX)
        .durability(Durability::SurvivesRestart { window })
        .sharing(Sharing::BetweenProcesses)
        .expiry(Expiry::ByPurge)
        .refresh_slack(Duration::from_secs(config.refresh_slack_s.into()))
        .system(SYSTEM)
        .build()
}

#[async_trait]
impl ProviderStore for Postgres {
    fn profile(&self) -> StoreProfile {
        // What the server leaves for us: connections that others have taken are missing here.
        let open = || usize::try_from(self.connections.open_len()).ok().and_then(NonZeroUsize::new);
        let open = self.room.or_else(open);
        let of_calls = |max: NonZeroUsize| open.map_or(NonZeroUsize::MIN, |open| open.min(max));
        let mut profile = self.profile;
        profile.concurrency_max = of_calls(profile.concurrency_max);
        profile.reads.concurrency_max = of_calls(profile.reads.concurrency_max);
        profile.writes.concurrency_max = of_calls(profile.writes.concurrency_max);
        profile
    }

    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError> {
        self.open_for("insert")?;
        let Self { connections, tables, peers, refresh_slack, .. } = self;
        insert::insert(connections, tables, peers, &batch, (now, *refresh_slack)).await
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
        read::providers(&self.connections, &self.tables, &self.peers, &keys, (now, limit)).await
    }

    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.open_for("purge_expired")?;
        self.purge.step(&self.connections, &self.tables, now, limit.get()).await
    }

    fn expire_by(&self, latest: UnixSeconds) {
        self.purge.expire_by(latest);
    }

    async fn delete(&self, deletion: Deletion, limit: NonZeroU32) -> Result<Deleted, StoreError> {
        self.open_for("delete")?;
        delete::delete(&self.connections, &self.tables, deletion, limit).await
    }

    async fn scan(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Page, StoreError> {
        self.open_for("scan")?;
        scan::page(&self.connections, &self.tables, &self.peers, from, (now, limit)).await
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        self.open_for("estimate")?;
        let (estimate, values) = estimate::estimate(&self.connections, &self.tables, &self.catalogue).await?;
        if let Some(values) = values {
            *self.values.lock().unwrap_or_else(PoisonError::into_inner) = values;
        }
        Ok(estimate)
    }

    fn values(&self) -> Option<&dyn ValueStore> {
        (self.value_table() == ValueTable::Ready).then_some(self as &dyn ValueStore)
    }

    fn remarks(&self) -> Vec<String> {
        let found = self.value_table();
        // A start makes what is missing.
        let is_told = found != ValueTable::Missing || self.migrate != Migrate::Auto;
        found.lack(&self.tables.schema).filter(|_| is_told).into_iter().collect()
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = self.connections.metrics();
        metrics.extend(self.catalogue.metrics());
        metrics
    }

    async fn close(&self) -> Result<(), StoreError> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // The lease ends by itself too, so a server that is gone is no failure: every acknowledged record is committed.
        if let Err(error) = self.purge.release(&self.connections, &self.tables).await {
            tracing::debug!(error = %hydra_api::Causes(&error), "cannot release the lease of the purge");
        }
        self.connections.close().await;
        Ok(())
    }
}

//! Records of hydra-booster in PostgreSQL: the table `records (key text, data bytea)` of its datastore.

mod row;

use crate::fault;
use hydra_api::{
    Causes, Cursor, ImportPage, ImportSource, Importer, OpenError, StoreError, StoreErrorKind, async_trait,
};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Marks a cursor as one of this kind of import.
const TAG: &[u8] = b"hb:";

/// How long a connection or a statement may take: without an index on the key, a page is a pass over the table.
const PATIENCE: Duration = Duration::from_secs(300);
/// For how much longer the server's answer is awaited, which ends a statement by itself after that time: one that is repeated
/// does not run beside its first try.
const GRACE: Duration = Duration::from_secs(10);

/// Reads what hydra-booster wrote.
#[derive(Debug)]
pub struct HydraBooster {
    options: PgConnectOptions,
    /// None after an error: the next call connects anew.
    connection: Mutex<Option<PgConnection>>,
}

impl ImportSource for HydraBooster {
    const KIND: &'static str = "hydra-booster-postgres";
    const SUMMARY: &'static str =
        "provider records of hydra-booster in PostgreSQL, from a URL such as postgres://user@host/database";

    async fn open(url: &str) -> Result<Arc<dyn Importer>, OpenError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(OpenError::config("url", "a PostgreSQL URL begins with postgres://"));
        }
        // The cause may quote the URL with its password.
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| OpenError::config("url", "it is not a PostgreSQL URL"))?
            .application_name("hydra import")
            .disable_statement_logging();
        let importer = Self { options, connection: Mutex::new(None) };
        importer
            .run("open", |connection| Box::pin(async move { read(connection, "", 1).await }))
            .await
            .map_err(|error| {
                OpenError::unavailable("cannot read the table `records` of hydra-booster", error)
            })?;
        Ok(Arc::new(importer))
    }
}

type Work<'c, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + Send + 'c>>;

impl HydraBooster {
    /// Runs a statement; one that fails or is late ends the connection.
    async fn run<T: Send>(
        &self,
        operation: &'static str,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send,
    ) -> Result<T, StoreError> {
        let late = || StoreError::because(StoreErrorKind::Unavailable, operation, "no answer in time");
        let mut place = self.connection.lock().await;
        let mut connection = match place.take() {
            Some(connection) => connection,
            None => {
                let connected = timeout(PATIENCE, self.options.connect()).await.map_err(|_| late())?;
                connected.map_err(|error| fault::failed(operation, error))?
            }
        };
        let bounded = async {
            let mut transaction = connection.begin().await?;
            // For the transaction alone: a pooler may give the connection to others afterwards.
            let limit = format!("SET LOCAL statement_timeout = {}", PATIENCE.as_millis());
            transaction.execute(AssertSqlSafe(limit)).await?;
            let done = work(&mut transaction).await?;
            transaction.commit().await?;
            Ok(done)
        };
        let result = timeout(PATIENCE + GRACE, bounded).await.map_err(|_| late())?;
        let result = result.map_err(|error| fault::failed(operation, error))?;
        *place = Some(connection);
        Ok(result)
    }
}

/// The rows after a key, by the order of the database, which is that of the index on the key.
async fn read(
    connection: &mut PgConnection,
    after: &str,
    limit: i64,
) -> Result<Vec<(String, Option<Vec<u8>>)>, sqlx::Error> {
    // Not prepared: it may be a pooler that is connected to.
    let query =
        sqlx::query("SELECT key, data FROM records WHERE key > $1 ORDER BY key LIMIT $2").persistent(false);
    let rows = query.bind(after).bind(limit).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

#[async_trait]
impl Importer for HydraBooster {
    async fn page(&self, from: Option<Cursor>, limit: NonZeroU32) -> Result<ImportPage, StoreError> {
        let after = match &from {
            None => String::new(),
            Some(cursor) => {
                let key = cursor.as_bytes().strip_prefix(TAG);
                let key = key.and_then(|key| std::str::from_utf8(key).ok());
                key.ok_or_else(|| StoreError::foreign_cursor("page"))?.to_owned()
            }
        };
        let rows = self
            .run("page", move |connection| {
                Box::pin(async move { read(connection, &after, i64::from(limit.get())).await })
            })
            .await?;
        let is_last = rows.len() < usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let next = match rows.last() {
            Some((key, _)) if !is_last => Some(
                Cursor::new([TAG, key.as_bytes()].concat())
                    .map_err(|cause| StoreError::because(StoreErrorKind::Refused, "page", cause))?,
            ),
            _ => None,
        };
        let len = rows.len();
        let records: Vec<_> =
            rows.into_iter().filter_map(|(key, data)| row::record(&key, data.as_deref()?)).collect();
        let malformed = (len - records.len()) as u64;
        Ok(ImportPage::new(records, malformed, next))
    }

    /// From the statistics of the planner; none before the table was analyzed.
    async fn estimate(&self) -> Result<Option<u64>, StoreError> {
        let rows = self.run("estimate", |connection| {
            Box::pin(async move {
                let text = "SELECT reltuples::int8 FROM pg_class WHERE oid = 'records'::regclass";
                sqlx::query(text).persistent(false).fetch_one(connection).await?.try_get::<i64, _>(0)
            })
        });
        Ok(u64::try_from(rows.await?).ok())
    }

    async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            // Nothing was written: a server that is gone already is no failure.
            if let Err(error) = connection.close().await {
                tracing::debug!(error = %Causes(&error), "cannot disconnect");
            }
        }
    }
}

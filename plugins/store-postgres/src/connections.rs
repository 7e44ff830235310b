//! Statements on the connections of a store.

mod host;
mod mode;
mod pool;

pub(crate) use host::shown;

use crate::config::{Config, Prepared};
use crate::fault;
use hydra_api::{Metric, StoreError};
use hydra_remote::{Length, Meter};
use mode::{Mode, is_pooled};
use pool::{Busy, Pool, connect, within};
use sqlx::{AssertSqlSafe, PgConnection};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tracing::{Instrument, Span};

/// The database system, as OpenTelemetry names it.
pub(crate) const SYSTEM: &str = "postgresql";

/// How long after its time limit a statement may answer: a server that does not is gone or frozen.
const PATIENCE: Duration = Duration::from_secs(2);

/// A statement under way on one connection.
pub(crate) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + Send + 'c>>;

/// The connections of one store.
#[derive(Debug)]
pub(crate) struct Connections {
    pool: Arc<Pool>,
    mode: Mode,
    /// The time limit of a statement, for its client.
    limit: Duration,
}

impl Connections {
    /// Connects to the first host that fits, and finds out how statements are sent. The other connections follow. Each step has a
    /// time limit: a server that freezes meanwhile is an error.
    pub(crate) async fn open(config: Config) -> Result<Self, sqlx::Error> {
        let limit = Duration::from_millis(config.statement_timeout_ms.into()) + PATIENCE;
        let (mut first, host) = pool::first(&config).await?;
        let mut second = None;
        let mode = match config.prepared {
            Prepared::Off => Mode::Unnamed,
            wanted @ (Prepared::Auto | Prepared::On) => {
                let other = second.insert(connect(&config, host).await?);
                match (within(limit, is_pooled(&mut first, other)).await?, wanted) {
                    (false, _) => Mode::Prepared,
                    (true, Prepared::On) => Mode::PreparedInTransactions,
                    (true, _) => Mode::Unnamed,
                }
            }
        };
        if !mode.has_session() && config.prepared != Prepared::Off {
            let prepared = mode.is_prepared();
            tracing::info!(
                prepared,
                "a pooler in transaction mode was detected: each statement runs in a transaction of its own"
            );
        }
        let meter = Arc::new(Meter::new(SYSTEM, Length::Rows, &fault::CLASSES));
        let pool = Pool::start(config, mode, host, meter);
        for connection in [Some(first), second].into_iter().flatten() {
            pool.add(connection).await?;
        }
        Ok(Self { pool, mode, limit })
    }

    /// True if statements are prepared once per connection.
    pub(crate) fn is_prepared(&self) -> bool {
        self.mode.is_prepared()
    }

    /// How many connections are open.
    pub(crate) fn open_len(&self) -> u32 {
        self.pool.open_len()
    }

    /// What is counted of the statements and the connections.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        self.pool.meter.metrics(self.pool.in_use())
    }

    /// Counts the rows of a statement.
    pub(crate) fn count_rows(&self, operation: &str, rows: usize) {
        self.pool.meter.length(operation, rows);
    }

    /// Runs `work` on a connection of its own. A connection whose server does not answer in time is closed.
    ///
    /// # Cancel safety
    /// The connection of a call that is dropped serves others after the rest of its answer was read: at the latest when the server
    /// has cancelled the statement at its time limit. If that takes longer it is closed.
    pub(crate) async fn run<T, F>(&self, operation: &'static str, work: F) -> Result<T, StoreError>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send,
        T: Send,
    {
        let mut busy = self.pool.acquire(operation).await?;
        let under_way = self.pool.meter.begin(operation);
        let span = under_way.span().clone();
        let statement = self.statement(&mut busy, work).instrument(span.clone());
        let result = within(self.limit, statement).await;
        under_way.end();
        match result {
            Ok(result) => {
                busy.give_back();
                Ok(result)
            }
            Err(error) => {
                self.pool.meter.failed(fault::class(&error));
                record(&span, &error);
                busy.failed(&error);
                Err(fault::failed(operation, error))
            }
        }
    }

    /// Runs one statement, in a transaction of its own where that is needed. The error is that of the statement, whatever becomes of the
    /// transaction afterwards.
    async fn statement<T, F>(&self, busy: &mut Busy, work: F) -> Result<T, sqlx::Error>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send,
    {
        let connection = busy.connection();
        let Some(begin) = self.pool.begin() else { return work(connection).await };
        sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *connection).await?;
        match work(connection).await {
            Ok(done) => {
                sqlx::raw_sql("COMMIT").execute(connection).await?;
                Ok(done)
            }
            Err(error) if fault::ends_connection(&error) => Err(error),
            Err(error) => {
                if let Err(cause) = sqlx::raw_sql("ROLLBACK").execute(connection).await {
                    busy.lost(&cause);
                }
                Err(error)
            }
        }
    }

    /// Runs `work` on a connection as it is, for the start. All of it has the time limit of one statement.
    pub(crate) async fn run_plain<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>,
        E: From<sqlx::Error> + From<StoreError>,
    {
        let mut busy = self.pool.acquire("open").await?;
        let done = within(self.limit, work(busy.connection())).await?;
        busy.give_back();
        Ok(done)
    }

    /// Ends all connections. Calls afterwards fail as closed.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

fn record(span: &Span, error: &sqlx::Error) {
    if span.is_disabled() {
        return;
    }
    let state = fault::state(error);
    span.record("error.type", state.as_deref().unwrap_or(fault::class(error)));
    span.record("otel.status_code", "ERROR");
    if let Some(state) = &state {
        span.record("db.response.status_code", state);
    }
}

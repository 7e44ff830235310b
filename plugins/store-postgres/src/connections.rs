//! The connections: to which server, as whom, and what becomes of one that fails.

use crate::config::{Config, Prepared, Target, TlsMode};
use crate::fault;
use hydra_api::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// How long after its time limit a statement may answer: a server that does not is gone or frozen.
const PATIENCE: Duration = Duration::from_secs(2);

/// A statement under way on one connection.
pub(crate) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + Send + 'c>>;

/// The connections of one store.
#[derive(Debug)]
pub(crate) struct Connections {
    pool: PgPool,
    config: Config,
    /// Which of the hosts is in use.
    host: AtomicUsize,
    mode: Mode,
}

/// How statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Prepared once per connection.
    Prepared,
    /// Each in a transaction of its own and unnamed, for poolers in transaction mode.
    Unnamed,
}

impl Connections {
    /// Connects to the first host that fits, and finds out how statements are sent.
    pub(crate) async fn open(config: Config) -> Result<Self, sqlx::Error> {
        let options = options(&config, 0)?;
        let target = config.target;
        let synchronous_commit = config.synchronous_commit;
        let pool = PgPoolOptions::new()
            .max_connections(config.connections_max)
            .min_connections(config.connections_max)
            .acquire_timeout(Duration::from_millis(config.connect_timeout_ms.into()))
            .test_before_acquire(false)
            .idle_timeout(None)
            .after_connect(move |connection, _| {
                Box::pin(on_connected(connection, target, synchronous_commit))
            })
            .connect_lazy_with(options);
        let mut connections = Self { pool, config, host: AtomicUsize::new(0), mode: Mode::Unnamed };
        connections.connect_first().await?;
        connections.mode = match connections.config.prepared {
            Prepared::On => Mode::Prepared,
            Prepared::Off => Mode::Unnamed,
            Prepared::Auto => connections.detect().await?,
        };
        Ok(connections)
    }

    /// Tries every host once.
    async fn connect_first(&self) -> Result<(), sqlx::Error> {
        for _ in 1..self.config.hosts.len() {
            match self.pool.acquire().await {
                Ok(_) => return Ok(()),
                Err(_) => self.next_host(),
            }
        }
        // The error of a failed pool hides its cause: one attempt without the pool tells it.
        if self.pool.acquire().await.is_ok() {
            return Ok(());
        }
        let options = self.pool.connect_options();
        let connect = <PgConnection as sqlx::Connection>::connect_with(&options);
        match timeout(Duration::from_millis(self.config.connect_timeout_ms.into()), connect).await {
            Ok(Ok(_)) => Err(sqlx::Error::PoolTimedOut),
            Ok(Err(cause)) => Err(cause),
            Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
        }
    }

    /// True prepared statements survive the end of a transaction: a pooler in transaction mode without support for them
    /// answers the second or third use with an error.
    async fn detect(&self) -> Result<Mode, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        for _ in 0..3 {
            let used = sqlx::query("SELECT 1").persistent(true).execute(&mut *connection).await;
            match used {
                Ok(_) => {}
                Err(error) if fault::is_foreign_statement(&error) => {
                    connection.close_on_drop();
                    tracing::info!(
                        "the pooler does not support prepared statements, sending each in a transaction"
                    );
                    return Ok(Mode::Unnamed);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Mode::Prepared)
    }

    fn next_host(&self) {
        let host = self.host.fetch_add(1, Ordering::Relaxed) + 1;
        match options(&self.config, host) {
            Ok(options) => self.pool.set_connect_options(options),
            Err(error) => {
                tracing::warn!(error = %hydra_api::Causes(&error), "cannot read the password again")
            }
        }
    }

    /// How statements are sent.
    pub(crate) fn is_prepared(&self) -> bool {
        self.mode == Mode::Prepared
    }

    /// Runs `work` on a connection of its own. A connection whose server does not answer in time is closed.
    pub(crate) async fn run<T, F>(&self, operation: &'static str, work: F) -> Result<T, StoreError>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send,
        T: Send,
    {
        self.try_run(work).await.map_err(|error| {
            self.on_failure(&error);
            fault::failed(operation, error)
        })
    }

    async fn try_run<T, F>(&self, work: F) -> Result<T, sqlx::Error>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send,
    {
        // Not within a time limit of ours: the pool would lose the attempt to connect with the caller.
        let mut connection = self.pool.acquire().await?;
        let max = Duration::from_millis(self.config.statement_timeout_ms.into()) + PATIENCE;
        let result = timeout(max, self.statement(&mut connection, work)).await;
        match result {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => {
                if !matches!(error, sqlx::Error::Database(_)) {
                    connection.close_on_drop();
                }
                Err(error)
            }
            Err(_) => {
                connection.close_on_drop();
                Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
            }
        }
    }

    async fn statement<T, F>(
        &self,
        connection: &mut PoolConnection<Postgres>,
        work: F,
    ) -> Result<T, sqlx::Error>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send,
    {
        if self.mode == Mode::Prepared {
            return work(connection).await;
        }
        let limit = self.config.statement_timeout_ms;
        let begin = format!("BEGIN; SET LOCAL statement_timeout = {limit}");
        sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut **connection).await?;
        let result = work(connection).await;
        let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
        sqlx::raw_sql(end).execute(&mut **connection).await?;
        result
    }

    /// Runs `work` on a connection outside of any transaction, for the start.
    pub(crate) async fn run_plain<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>,
        E: From<sqlx::Error>,
    {
        let mut connection = self.pool.acquire().await.map_err(E::from)?;
        work(&mut connection).await
    }

    fn on_failure(&self, error: &sqlx::Error) {
        let is_connection =
            matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::Tls(_));
        if is_connection || fault::is_login(error) {
            self.next_host();
        }
    }

    /// Ends all connections. Calls afterwards fail as closed.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

async fn on_connected(
    connection: &mut PgConnection,
    target: Target,
    synchronous_commit: bool,
) -> Result<(), sqlx::Error> {
    if !synchronous_commit {
        sqlx::raw_sql("SET synchronous_commit = off").execute(&mut *connection).await?;
    }
    if target == Target::Any {
        return Ok(());
    }
    let read_only =
        sqlx::query("SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool");
    if read_only.persistent(false).fetch_one(connection).await?.try_get(0)? {
        return Err(sqlx::Error::Protocol("the server is read-only".to_owned()));
    }
    Ok(())
}

/// How to connect with the host of this number, with the password as it is now.
fn options(config: &Config, host: usize) -> Result<PgConnectOptions, sqlx::Error> {
    let host = &config.hosts[host % config.hosts.len()];
    let mode = match config.tls.mode {
        TlsMode::Disable => PgSslMode::Disable,
        TlsMode::Prefer => PgSslMode::Prefer,
        TlsMode::Require => PgSslMode::Require,
        TlsMode::VerifyCa => PgSslMode::VerifyCa,
        TlsMode::VerifyFull => PgSslMode::VerifyFull,
    };
    let mut options = PgConnectOptions::new_without_pgpass()
        .username(&config.user)
        .database(&config.database)
        .application_name("hydra")
        .ssl_mode(mode);
    options = match split(host) {
        Host::Socket(directory) => options.socket(directory),
        Host::Network(name, port) => options.host(name).port(port),
    };
    if config.prepared != Prepared::Off {
        options = options.options([("statement_timeout", config.statement_timeout_ms.to_string())]);
    }
    if let Some(password) = &config.password {
        let password = password.read().map_err(|error| sqlx::Error::Configuration(error.into()))?;
        options = options.password(password.expose());
    }
    for (file, set) in [
        (&config.tls.root_cert_file, PgConnectOptions::ssl_root_cert as fn(_, _) -> _),
        (&config.tls.client_cert_file, PgConnectOptions::ssl_client_cert),
        (&config.tls.client_key_file, PgConnectOptions::ssl_client_key),
    ] {
        if let Some(file) = file {
            options = set(options, file.clone());
        }
    }
    Ok(options)
}

#[derive(Debug, PartialEq, Eq)]
enum Host<'h> {
    Socket(&'h str),
    Network(&'h str, u16),
}

const PORT: u16 = 5432;

fn split(host: &str) -> Host<'_> {
    if host.starts_with('/') {
        return Host::Socket(host);
    }
    if let Some((inner, rest)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = rest.strip_prefix(':').and_then(|port| port.parse().ok());
        return Host::Network(inner, port.unwrap_or(PORT));
    }
    match host.rsplit_once(':').map(|(name, port)| (name, port.parse())) {
        Some((name, Ok(port))) if !name.contains(':') => Host::Network(name, port),
        _ => Host::Network(host, PORT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_addresses_and_sockets() {
        for (host, expected) in [
            ("db", Host::Network("db", 5432)),
            ("db:6432", Host::Network("db", 6432)),
            ("::1", Host::Network("::1", 5432)),
            ("[::1]:6432", Host::Network("::1", 6432)),
            ("/run/postgresql", Host::Socket("/run/postgresql")),
        ] {
            assert_eq!(split(host), expected);
        }
    }
}

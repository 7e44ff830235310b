//! PostgreSQL.

use super::Counts;
use hydra_conformance::servers::Postgres;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection, Row};
use std::io;

/// Durable, as in production; memory for all records, so that CPU is what it lacks.
const SETTINGS: [&str; 6] = [
    "fsync=on",
    "synchronous_commit=on",
    "shared_preload_libraries=pg_stat_statements",
    "shared_buffers=1GB",
    "max_wal_size=4GB",
    "checkpoint_timeout=30min",
];

/// The statements of the node's role: those of the probe have another one.
const COUNTS: &str = "
SELECT (SELECT coalesce(sum(calls), 0)::float8 FROM pg_stat_statements WHERE userid = 'hydra'::regrole),
    (SELECT coalesce(sum(sessions), 0)::float8 FROM pg_stat_database WHERE datname = 'hydra')";
const ACTIVE: &str = "
SELECT count(*)::float8 FROM pg_stat_activity
WHERE usename = 'hydra' AND state = 'active' AND backend_type = 'client backend'";

pub(super) fn start() -> io::Result<Postgres> {
    let server = Postgres::start(&SETTINGS)?;
    server.execute("hydra", "CREATE EXTENSION pg_stat_statements")?;
    server.execute("hydra", "CREATE ROLE probe LOGIN SUPERUSER")?;
    Ok(server)
}

pub(super) fn settle(server: &Postgres) -> io::Result<()> {
    server.execute("hydra", "VACUUM ANALYZE")?;
    server.execute("hydra", "CHECKPOINT")
}

/// A connection of a role of its own.
#[derive(Debug)]
pub(crate) struct PostgresProbe {
    connection: PgConnection,
    pid: u32,
}

impl PostgresProbe {
    pub(super) async fn connect(port: u16) -> io::Result<Self> {
        let options = PgConnectOptions::new().host("127.0.0.1").port(port).username("probe");
        let options = options.database("hydra").ssl_mode(PgSslMode::Disable);
        let mut connection = options.connect().await.map_err(io::Error::other)?;
        let row = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut connection).await;
        let pid: i32 = row.and_then(|row| row.try_get(0)).map_err(io::Error::other)?;
        Ok(Self { connection, pid: pid.unsigned_abs() })
    }

    /// The process that serves it.
    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) async fn counts(&mut self) -> io::Result<Counts> {
        let row = sqlx::query(COUNTS).fetch_one(&mut self.connection).await.map_err(io::Error::other)?;
        let of = |column: usize| row.try_get(column).map_err(io::Error::other);
        let (statements, connections) = (of(0)?, of(1)?);
        Ok(Counts { statements, commands: statements, connections, active: self.active().await? })
    }

    pub(super) async fn active(&mut self) -> io::Result<f64> {
        let row = sqlx::query(ACTIVE).fetch_one(&mut self.connection).await;
        row.and_then(|row| row.try_get(0)).map_err(io::Error::other)
    }
}

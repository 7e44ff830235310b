//! PostgreSQL.

use super::Counts;
use hydra_conformance::servers::Postgres;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection, Row};
use std::io;

/// Durable, as in production; memory for all records, so that CPU is what it lacks.
const SETTINGS: [&str; 8] = [
    "fsync=on",
    "synchronous_commit=on",
    "shared_preload_libraries=pg_stat_statements",
    "shared_buffers=1GB",
    "max_wal_size=4GB",
    "checkpoint_timeout=30min",
    // Room for the arms whose pool is no gate.
    "max_connections=130",
    "log_line_prefix=%u ",
];

/// The role of the nodes; the probe and the foreign client have others.
pub(super) const NODE: &str = "node";

/// The statements of the node's role.
const COUNTS: &str = "
SELECT (SELECT coalesce(sum(calls), 0)::float8 FROM pg_stat_statements WHERE userid = 'node'::regrole),
    (SELECT coalesce(sum(sessions), 0)::float8 FROM pg_stat_database WHERE datname = 'hydra')";
/// Closes one of the node's connections if more than so many are left.
const CLOSE: &str = "
SELECT pg_terminate_backend(pid, 1000) FROM (
    SELECT pid FROM pg_stat_activity WHERE usename = 'node' AND backend_type = 'client backend' ORDER BY pid OFFSET $1 LIMIT 1
) AS one";
/// More attempts than there are places.
const PLACES_MAX: usize = 400;
const ACTIVE: &str = "
SELECT count(*)::float8 FROM pg_stat_activity
WHERE usename = 'node' AND state = 'active' AND backend_type = 'client backend'";

pub(super) fn start() -> io::Result<Postgres> {
    let server = Postgres::start(&SETTINGS)?;
    server.execute("postgres", "CREATE EXTENSION pg_stat_statements")?;
    server.execute("hydra", "CREATE ROLE probe LOGIN SUPERUSER")?;
    server.execute(
        "hydra",
        "CREATE ROLE foreign_client LOGIN; CREATE ROLE node LOGIN; ALTER DATABASE hydra OWNER TO node",
    )?;
    Ok(server)
}

fn settle(server: &Postgres) -> io::Result<()> {
    server.execute("hydra", "VACUUM ANALYZE")?;
    server.execute("hydra", "CHECKPOINT")
}

/// Keeps what the database holds now, so that each measurement begins with it.
pub(super) fn keep(server: &Postgres) -> io::Result<()> {
    settle(server)?;
    server.execute("postgres", "ALTER DATABASE hydra RENAME TO kept")
}

/// Replaces the database by a copy of what was kept.
pub(super) fn renew(server: &Postgres) -> io::Result<()> {
    server.execute("postgres", "DROP DATABASE IF EXISTS hydra WITH (FORCE)")?;
    server.execute("postgres", "CREATE DATABASE hydra TEMPLATE kept OWNER node")?;
    server.execute("hydra", "CHECKPOINT")
}

/// Stops it without a shutdown checkpoint, as `pg_ctl stop -m immediate` does, and starts it again.
pub(super) fn restart(server: &mut Postgres) -> io::Result<()> {
    server.signal("QUIT")?;
    server.stop();
    server.launch()
}

/// How often a connection was refused for want of a place.
pub(super) fn refused(server: &Postgres) -> f64 {
    let log = std::fs::read_to_string(server.home().join("log")).unwrap_or_default();
    refused_of(&log)
}

fn refused_of(log: &str) -> f64 {
    let is_refusal = |line: &&str| {
        line.starts_with("node FATAL:")
            && (line.contains("too many clients") || line.contains("connection slots are reserved"))
    };
    log.lines().filter(is_refusal).count() as f64
}

fn options(port: u16, user: &str) -> PgConnectOptions {
    let options = PgConnectOptions::new().host("127.0.0.1").port(port).username(user);
    // A database of their own: the sessions of that of the nodes are counted.
    options.database("postgres").ssl_mode(PgSslMode::Disable)
}

/// Connections of a foreign client, which take all places that are left and do nothing with them.
#[derive(Debug)]
pub(crate) struct Foreigner(Vec<PgConnection>);

impl Foreigner {
    /// Takes all places, then those of all but `left` of the node's connections.
    pub(super) async fn take(port: u16, left: u32) -> io::Result<Self> {
        // Who closes connections of others must be a superuser, who has places of his own: these are not taken.
        let mut own = options(port, "probe").connect().await.map_err(io::Error::other)?;
        let options = options(port, "foreign_client");
        let mut taken = Vec::new();
        for _ in 0..PLACES_MAX {
            match options.connect().await {
                Ok(connection) => taken.push(connection),
                Err(_full) => {
                    let closed = sqlx::query(CLOSE).bind(i64::from(left)).fetch_optional(&mut own).await;
                    if closed.map_err(io::Error::other)?.is_none() {
                        break;
                    }
                }
            }
        }
        Ok(Self(taken))
    }

    /// How many places it has.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A connection of a role of its own.
#[derive(Debug)]
pub(crate) struct PostgresProbe {
    connection: PgConnection,
    pid: u32,
}

impl PostgresProbe {
    pub(super) async fn connect(port: u16) -> io::Result<Self> {
        let mut connection = options(port, "probe").connect().await.map_err(io::Error::other)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_connections_of_the_node_that_find_no_place_are_refused() {
        let log = "node FATAL:  sorry, too many clients already\n\
                   foreign_client FATAL:  sorry, too many clients already\n\
                   node FATAL:  remaining connection slots are reserved for non-replication superuser connections\n\
                   node ERROR:  canceling statement due to statement timeout\n";
        assert_eq!(refused_of(log), 2.0);
    }
}

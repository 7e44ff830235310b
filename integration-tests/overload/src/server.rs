//! The server under test: PostgreSQL or Redis, in a temporary directory, with the settings of a production server.

mod postgres;
mod redis;

use crate::quota::{Quota, Share};
use postgres::PostgresProbe;
use redis::RedisProbe;
use std::fmt;
use std::io;

/// Which kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Backend {
    Postgres,
    Redis,
}

impl Backend {
    /// The `kind` of the store, the name of its config file, and that of its results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }

    /// What is counted as its statements.
    pub(crate) const fn statements(self) -> &'static str {
        match self {
            Self::Postgres => "pg_stat_statements.calls",
            Self::Redis => "total_reads_processed",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
        })
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) enum Server {
    Postgres(hydra_conformance::servers::Postgres),
    Redis(hydra_conformance::servers::Redis),
}

/// What a server says of itself. Those of the probe are left out.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Counts {
    /// Statements since the server started. Redis is sent many commands in one message: there the messages are counted.
    pub(crate) statements: f64,
    /// Commands since the server started; for PostgreSQL its statements.
    pub(crate) commands: f64,
    /// Statements that run now; of Redis, which runs one at a time, the connections.
    pub(crate) active: f64,
    /// Connections that were accepted since the server started.
    pub(crate) connections: f64,
}

/// A connection that asks a server for [`Counts`].
#[derive(Debug)]
pub(crate) enum Probe {
    Postgres(PostgresProbe),
    Redis(RedisProbe),
}

impl Server {
    /// Starts a server.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub(crate) fn start(backend: Backend) -> io::Result<Self> {
        match backend {
            Backend::Postgres => postgres::start().map(Self::Postgres),
            Backend::Redis => redis::start().map(Self::Redis),
        }
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Postgres(server) => server.port(),
            Self::Redis(server) => server.port(),
        }
    }

    /// Finishes what it would do later anyway, so that no measurement pays for the preload.
    ///
    /// # Errors
    /// If it fails.
    pub(crate) fn settle(&self) -> io::Result<()> {
        match self {
            Self::Postgres(server) => postgres::settle(server),
            Self::Redis(server) => redis::settle(server),
        }
    }

    /// Sends a signal to all its processes.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn signal_all(&self, signal: &str) -> io::Result<()> {
        match self {
            Self::Postgres(server) => server.signal_all(signal),
            Self::Redis(server) => server.signal(signal),
        }
    }

    /// Holds it to a share of a core, but for the process that serves the probe.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn hold(&self, probe: &Probe, share: Share) -> io::Result<Quota> {
        let pid = match self {
            Self::Postgres(server) => server.pid(),
            Self::Redis(server) => server.pid(),
        };
        let pid = pid.ok_or_else(|| io::Error::other("the server has ended"))?;
        let exempt = match probe {
            Probe::Postgres(probe) => Some(probe.pid()),
            Probe::Redis(_) => None,
        };
        Quota::hold(pid, exempt, share)
    }

    /// Connects a probe.
    ///
    /// # Errors
    /// If it cannot connect.
    pub(crate) async fn probe(&self) -> io::Result<Probe> {
        match self {
            Self::Postgres(server) => PostgresProbe::connect(server.port()).await.map(Probe::Postgres),
            Self::Redis(server) => RedisProbe::connect(server.port()).await.map(Probe::Redis),
        }
    }
}

impl Probe {
    /// What the server says now.
    ///
    /// # Errors
    /// If it does not answer.
    pub(crate) async fn counts(&mut self) -> io::Result<Counts> {
        match self {
            Self::Postgres(probe) => probe.counts().await,
            Self::Redis(probe) => probe.counts().await,
        }
    }

    /// How many statements run now; none if that costs the server what it is measured for.
    ///
    /// # Errors
    /// If it does not answer.
    pub(crate) async fn active(&mut self) -> io::Result<Option<f64>> {
        match self {
            Self::Postgres(probe) => probe.active().await.map(Some),
            Self::Redis(_) => Ok(None),
        }
    }
}

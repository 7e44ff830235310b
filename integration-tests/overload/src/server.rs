//! The server under test: PostgreSQL or Redis, in a temporary directory, with the settings of a production server.

mod postgres;
mod redis;

use crate::quota::{Quota, Share};
use postgres::{Foreigner, PostgresProbe};
use redis::RedisProbe;
use std::fmt;
use std::io;

/// The role of the nodes in PostgreSQL.
pub(crate) const NODE: &str = postgres::NODE;

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

/// The place of a server, which is empty while it is restarted by another thread.
#[derive(Debug)]
pub(crate) struct Slot(Option<Server>);

impl Slot {
    /// A place with this server.
    pub(crate) const fn of(server: Server) -> Self {
        Self(Some(server))
    }

    /// The server.
    ///
    /// # Errors
    /// If a restart was given up.
    pub(crate) fn get(&self) -> io::Result<&Server> {
        self.0.as_ref().ok_or_else(|| io::Error::other("the server is gone"))
    }

    /// The server, to change it.
    ///
    /// # Errors
    /// If a restart was given up.
    pub(crate) fn get_mut(&mut self) -> io::Result<&mut Server> {
        self.0.as_mut().ok_or_else(|| io::Error::other("the server is gone"))
    }

    /// Stops the server at once, and starts it again. The load goes on meanwhile: it takes seconds, and no task waits for them.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn restart(&mut self) -> io::Result<()> {
        let mut server = self.0.take().ok_or_else(|| io::Error::other("the server is gone"))?;
        let restarted = tokio::task::spawn_blocking(move || {
            let done = server.restart();
            (server, done)
        });
        let (server, done) = restarted.await.map_err(io::Error::other)?;
        self.0 = Some(server);
        done
    }
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

/// Where a server is, for what connects to it from several tasks.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    backend: Backend,
    pub(crate) port: u16,
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

    /// Keeps what it holds now, so that [`Self::renew`] can bring it back.
    ///
    /// # Errors
    /// If it fails.
    pub(crate) fn keep(&self) -> io::Result<()> {
        match self {
            Self::Postgres(server) => postgres::keep(server),
            Self::Redis(server) => redis::keep(server),
        }
    }

    /// Brings back what was kept. No node is connected.
    ///
    /// # Errors
    /// If it fails.
    pub(crate) fn renew(&mut self) -> io::Result<()> {
        match self {
            Self::Postgres(server) => postgres::renew(server),
            Self::Redis(server) => redis::renew(server),
        }
    }

    /// Stops it at once, and starts it again.
    ///
    /// # Errors
    /// If it does not start.
    fn restart(&mut self) -> io::Result<()> {
        match self {
            Self::Postgres(server) => postgres::restart(server),
            Self::Redis(server) => redis::restart(server),
        }
    }

    /// How often it refused a connection of a node for want of a place; Redis is not asked.
    pub(crate) fn refused(&self) -> f64 {
        match self {
            Self::Postgres(server) => postgres::refused(server),
            Self::Redis(_) => 0.0,
        }
    }

    /// Its first process.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn pid(&self) -> io::Result<u32> {
        let pid = match self {
            Self::Postgres(server) => server.pid(),
            Self::Redis(server) => server.pid(),
        };
        pid.ok_or_else(|| io::Error::other("the server has ended"))
    }

    /// Holds it to a share of a core, but for the process that serves the probe.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn hold(&self, exempt: Option<u32>, share: Share) -> io::Result<Quota> {
        Quota::hold(self.pid()?, exempt, share)
    }

    /// Where it is.
    pub(crate) fn address(&self) -> Address {
        let backend = match self {
            Self::Postgres(_) => Backend::Postgres,
            Self::Redis(_) => Backend::Redis,
        };
        Address { backend, port: self.port() }
    }

    /// A foreign client that takes all connections but `left` of the node's.
    ///
    /// # Errors
    /// If it cannot connect; Redis has no such limit here.
    pub(crate) async fn foreigner(&self, left: u32) -> io::Result<Foreigner> {
        match self {
            Self::Postgres(server) => Foreigner::take(server.port(), left).await,
            Self::Redis(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Address {
    /// Connects a probe.
    ///
    /// # Errors
    /// If it cannot connect.
    pub(crate) async fn probe(&self) -> io::Result<Probe> {
        match self.backend {
            Backend::Postgres => PostgresProbe::connect(self.port).await.map(Probe::Postgres),
            Backend::Redis => RedisProbe::connect(self.port).await.map(Probe::Redis),
        }
    }
}

impl Probe {
    /// The process of the server that serves it alone, if there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Postgres(probe) => Some(probe.pid()),
            Self::Redis(_) => None,
        }
    }

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

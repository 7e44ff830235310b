//! How a connection is made: encryption, login, and whether the server is the one that is wanted.

use super::address::Address;
use super::fault::{CLASSES, Class, Fault};
use crate::config::{Config, Mode, TlsMode};
use hydra_api::SecretSource;
use hydra_remote::{Length, Meter};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, TlsCertificates, Value,
};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// The database system, as OpenTelemetry names it.
pub(crate) const SYSTEM: &str = "redis";

/// Makes connections.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) config: Config,
    tls: Option<TlsCertificates>,
    /// How many connections were lost: whatever a server has acknowledged, it may have lost with them.
    losses: AtomicU64,
    pub(crate) meter: Meter,
}

/// What a server must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A server of records that takes writes.
    Master,
    /// A node of the cluster, to be asked for the others.
    ClusterNode,
    /// A sentinel.
    Sentinel,
}

/// What a server says of itself.
#[derive(Debug, Default)]
struct Hello {
    mode: String,
    role: String,
}

impl Connector {
    /// Reads the files of the certificates.
    pub(crate) fn new(config: Config) -> io::Result<Self> {
        let tls = match config.tls.mode {
            TlsMode::Disable => None,
            TlsMode::VerifyFull => {
                // The one provider of the program; another part of it may have installed it before.
                let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
                Some(certificates(&config)?)
            }
        };
        let meter = Meter::new(SYSTEM, Length::Commands, &CLASSES);
        Ok(Self { config, tls, losses: AtomicU64::new(0), meter })
    }

    /// The time limit of a connection attempt.
    pub(crate) fn connect_limit(&self) -> Duration {
        Duration::from_millis(self.config.connect_timeout_ms.into())
    }

    /// The time limit of a batch of commands.
    pub(crate) fn statement_limit(&self) -> Duration {
        Duration::from_millis(self.config.statement_timeout_ms.into())
    }

    /// How many connections were lost so far.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    pub(crate) fn on_loss(&self) {
        self.losses.fetch_add(1, Ordering::AcqRel);
    }

    /// Connects within the time limit.
    pub(crate) async fn connect(&self, to: &Address, wanted: Wanted) -> Result<MultiplexedConnection, Fault> {
        let connecting = self.meter.connecting();
        let made = match timeout(self.connect_limit(), self.attempt(to, wanted)).await {
            Ok(made) => made,
            Err(_) => Err(Fault::timeout(to, "the connection attempt exceeded its time limit")),
        };
        connecting.end();
        made.inspect_err(|fault| self.meter.connect_failed(fault.class.name()))
    }

    async fn attempt(&self, to: &Address, wanted: Wanted) -> Result<MultiplexedConnection, Fault> {
        let client = self.client(to)?;
        // The time limits are ours, for a connection that exceeds one is dropped as a whole.
        let limits = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let made = client.get_multiplexed_async_connection_with_config(&limits).await;
        let mut connection = made.map_err(|error| Fault::of_connection(&error, to))?;
        self.greet(&mut connection, to, wanted).await.map(|()| connection)
    }

    /// Logs in, chooses the database and asks what the server is. The login is sent by us, for the client library would hide what
    /// the server says of it.
    async fn greet(
        &self,
        connection: &mut MultiplexedConnection,
        to: &Address,
        wanted: Wanted,
    ) -> Result<(), Fault> {
        let config = &self.config;
        let (username, password) = match wanted {
            Wanted::Sentinel => (&config.sentinel.username, &config.sentinel.password),
            Wanted::Master | Wanted::ClusterNode => (&config.username, &config.password),
        };
        let mut greeting = Pipeline::new();
        if let Some(password) = password {
            greeting.cmd("AUTH");
            if let Some(username) = username {
                greeting.arg(username);
            }
            greeting.arg(read(password, to)?);
        }
        if config.database != 0 && wanted == Wanted::Master {
            greeting.cmd("SELECT").arg(config.database);
        }
        greeting.cmd("HELLO").arg(2).arg("SETNAME").arg("hydra");
        let len = greeting.len();
        let said = connection.send_packed_commands(&greeting, 0, len).await;
        let said = said.map_err(|error| Fault::of_connection(&error, to))?;
        for said in &said {
            if let Value::ServerError(error) = said {
                return Err(Fault::of_reply(error, to));
            }
        }
        self.examine(&Hello::of(said.last().unwrap_or(&Value::Nil)), to, wanted)
    }

    fn client(&self, to: &Address) -> Result<Client, Fault> {
        let failed = |error: redis::RedisError| Fault::of_connection(&error, to);
        let address = match to {
            Address::Socket(path) => ConnectionAddr::Unix(path.clone()),
            Address::Network(host, port) if self.tls.is_some() => {
                ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
            }
            Address::Network(host, port) => ConnectionAddr::Tcp(host.clone(), *port),
        };
        let is_encrypted = matches!(address, ConnectionAddr::TcpTls { .. });
        let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        let info = address.into_connection_info().map_err(failed)?.set_redis_settings(settings);
        match &self.tls {
            Some(certificates) if is_encrypted => Client::build_with_tls(info, certificates.clone()),
            _ => Client::open(info),
        }
        .map_err(failed)
    }

    fn examine(&self, hello: &Hello, to: &Address, wanted: Wanted) -> Result<(), Fault> {
        let mode = match (wanted, self.config.mode) {
            (Wanted::Sentinel, _) => "sentinel",
            (_, Mode::Cluster) => "cluster",
            (_, Mode::Standalone | Mode::Sentinel) => "standalone",
        };
        if hello.mode != mode {
            let text = format!("this is a server of the mode \"{}\", not \"{mode}\"", hello.mode);
            return Err(Fault::new(Class::Other, to, text));
        }
        if wanted == Wanted::Master && hello.role != "master" {
            return Err(Fault::new(Class::ReadOnly, to, "the server is a replica"));
        }
        Ok(())
    }
}

impl Hello {
    fn of(said: &Value) -> Self {
        let mut hello = Self::default();
        let text = |value: &Value| redis::from_redis_value_ref::<String>(value).unwrap_or_default();
        for (name, value) in said.as_map_iter().into_iter().flatten() {
            match text(name).as_str() {
                "mode" => hello.mode = text(value),
                "role" => hello.role = text(value),
                _ => {}
            }
        }
        hello
    }
}

fn read(password: &SecretSource, to: &Address) -> Result<String, Fault> {
    let read = password.read().map_err(|error| Fault::new(Class::Login, to, error.to_string()))?;
    Ok(read.expose().to_owned())
}

fn certificates(config: &Config) -> io::Result<TlsCertificates> {
    let read = |path: &Path| {
        std::fs::read(path)
            .map_err(|cause| io::Error::new(cause.kind(), format!("{}: {cause}", path.display())))
    };
    let client_tls = match (&config.tls.cert_file, &config.tls.key_file) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
        (None, None) => None,
        _ => return Err(io::Error::other("`tls.cert_file` and `tls.key_file` must be set together")),
    };
    Ok(TlsCertificates { client_tls, root_cert: config.tls.ca_file.as_deref().map(read).transpose()? })
}

//! `[store] kind = "redis"`.

use hydra_api::SecretSource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Default of [`Config::connections_max`].
pub(crate) const CONNECTIONS_MAX: u32 = 8;
/// Default of [`Config::connect_timeout_ms`].
pub(crate) const CONNECT_TIMEOUT_MS: u32 = 1000;
/// Default of [`Config::statement_timeout_ms`].
pub(crate) const STATEMENT_TIMEOUT_MS: u32 = 2000;
/// Default of [`Config::buckets_log2`]: room for 8 million keys.
pub(crate) const BUCKETS_LOG2: u8 = 18;
/// Default of [`Config::peers_cache_len_max`].
pub(crate) const PEERS_CACHE_LEN_MAX: u32 = 65_536;

/// `[store] kind = "redis"`: provider records in Redis 6.2 or later or in Valkey, shared by several nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What the hosts are: `"standalone"` is one server, or several of which one is the master; `"sentinel"` asks sentinels for
    /// the master; `"cluster"` is Redis Cluster.
    pub mode: Mode,
    /// The servers, as `host`, `host:port`, `[ipv6]:port` or the path of a Unix socket: all servers, all sentinels, or some
    /// nodes of the cluster, which name the others. They are tried in this order.
    #[schemars(length(min = 1, max = 64))]
    pub hosts: Vec<String>,
    /// How the sentinels are asked. No effect in other modes.
    pub sentinel: Sentinel,
    /// The number of the database. A cluster has only 0.
    #[schemars(range(max = 65_535))]
    pub database: u32,
    /// The ACL user to log in as. If unset: the default user.
    #[schemars(length(min = 1, max = 64))]
    pub username: Option<String>,
    /// The password, `{ file = "…" }` or `{ env = "…" }`. It is read again for each new connection, so a changed password needs
    /// no restart.
    pub password: Option<SecretSource>,
    /// The prefix of the names of all keys. Nodes with the same prefix and database share their records.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_.:/-]{1,32}$"))]
    pub prefix: String,
    /// Whether scripts are used: `"auto"` uses them if the server permits it, `"off"` never. Without scripts a record takes three
    /// times the memory. The first node of a prefix decides it for all.
    pub scripts: Scripts,
    /// The number of buckets, as a power of two. Choose one bucket for 16 to 64 keys: 18 for 4 to 16 million keys, 20 for 16 to
    /// 64 million. Fewer keys per bucket take more memory, more than 512 three times as much. The first node of a prefix fixes
    /// it; another number then refuses to start. No effect without scripts.
    #[schemars(range(min = 10, max = 28))]
    pub buckets_log2: u8,
    /// The number of connections to each server, which is also the number of calls at a time.
    #[schemars(range(min = 1, max = 1000))]
    pub connections_max: u32,
    /// The time limit of a connection attempt with its login, in milliseconds.
    #[schemars(range(min = 100, max = 60_000))]
    pub connect_timeout_ms: u32,
    /// The time limit of a batch of commands on one server, in milliseconds. If the server does not answer in time, the
    /// connection is closed.
    #[schemars(range(min = 50, max = 600_000))]
    pub statement_timeout_ms: u32,
    /// The number of peers whose ids and addresses are kept in memory, about 0.4 kB each. Peers beyond it cost one more round
    /// trip for each batch that names them.
    #[schemars(range(min = 1024, max = 16_777_216))]
    pub peers_cache_len_max: u32,
    /// The encryption of connections.
    pub tls: Tls,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Standalone,
            hosts: vec!["localhost:6379".to_owned()],
            sentinel: Sentinel::default(),
            database: 0,
            username: None,
            password: None,
            prefix: "hydra".to_owned(),
            scripts: Scripts::Auto,
            buckets_log2: BUCKETS_LOG2,
            connections_max: CONNECTIONS_MAX,
            connect_timeout_ms: CONNECT_TIMEOUT_MS,
            statement_timeout_ms: STATEMENT_TIMEOUT_MS,
            peers_cache_len_max: PEERS_CACHE_LEN_MAX,
            tls: Tls::default(),
        }
    }
}

/// What the hosts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// One server, or several of which one is the master.
    Standalone,
    /// Sentinels that know the master.
    Sentinel,
    /// Nodes of a Redis Cluster.
    Cluster,
}

/// Whether scripts are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scripts {
    /// If the server permits it.
    Auto,
    /// Never.
    Off,
}

/// How the sentinels are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sentinel {
    /// The name of the master as the sentinels know it.
    #[schemars(length(min = 1, max = 255))]
    pub master: String,
    /// The ACL user to log in to the sentinels as. If unset: the default user.
    #[schemars(length(min = 1, max = 64))]
    pub username: Option<String>,
    /// The password of the sentinels, `{ file = "…" }` or `{ env = "…" }`.
    pub password: Option<SecretSource>,
}

impl Default for Sentinel {
    fn default() -> Self {
        Self { master: "mymaster".to_owned(), username: None, password: None }
    }
}

/// The encryption of connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// How connections are encrypted: `"disable"`, or `"verify-full"` for TLS with a certificate that is trusted and names the
    /// host.
    pub mode: TlsMode,
    /// The file of the root certificates, in PEM. If unset: those of the machine.
    pub ca_file: Option<PathBuf>,
    /// The file of the client certificate, in PEM. It needs `key_file`.
    pub cert_file: Option<PathBuf>,
    /// The file of the private key of the client certificate, in PEM.
    pub key_file: Option<PathBuf>,
}

impl Default for Tls {
    fn default() -> Self {
        Self { mode: TlsMode::Disable, ca_file: None, cert_file: None, key_file: None }
    }
}

/// How connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Not at all.
    Disable,
    /// Always; the certificate must be trusted and be for the host.
    VerifyFull,
}

//! `[store] kind = "postgres"`.

use hydra_api::SecretSource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Default of [`Config::connections_max`].
pub(crate) const CONNECTIONS_MAX: u32 = 8;
/// Default of [`Config::connect_timeout_ms`].
pub(crate) const CONNECT_TIMEOUT_MS: u32 = 2000;
/// Default of [`Config::statement_timeout_ms`].
pub(crate) const STATEMENT_TIMEOUT_MS: u32 = 5000;
/// Default of [`Config::refresh_slack_s`].
pub(crate) const REFRESH_SLACK_S: u32 = 3600;
/// Default of [`Config::peers_cache_len_max`].
pub(crate) const PEERS_CACHE_LEN_MAX: u32 = 65_536;

/// `[store] kind = "postgres"`: provider records in PostgreSQL 14 or later, shared by several nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The servers, as `host`, `host:port`, `[ipv6]:port`, or the directory of a Unix socket, with the port of the server if it is
    /// not 5432: `/run/postgresql:5433`. If one does not answer, or does not fit `target`, the next one is tried.
    #[schemars(length(min = 1, max = 16))]
    pub hosts: Vec<String>,
    /// The kind of server to use: `"read-write"` skips servers that are read-only, such as standbys, `"any"` takes the first
    /// that answers.
    pub target: Target,
    /// The database.
    #[schemars(length(min = 1, max = 63))]
    pub database: String,
    /// The role to log in as.
    #[schemars(length(min = 1, max = 63))]
    pub user: String,
    /// The password, `{ file = "…" }` or `{ env = "…" }`. It is read again for each new connection, so a changed
    /// password needs no restart.
    pub password: Option<SecretSource>,
    /// The schema of the tables. Nodes with the same schema share their records.
    #[schemars(regex(pattern = r"^[a-z_][a-z0-9_]{0,62}$"))]
    pub schema: String,
    /// Whether the node creates and migrates the tables: `"auto"` does so at the start, `"check"` refuses to start if they are
    /// not up to date, `"off"` does not look. Without the table of value records, which came later, the last two keep provider records
    /// alone. Choose `"check"` for a role without the rights to change tables.
    pub migrate: Migrate,
    /// The number of connections, which is also the number of statements at a time. The connections of all nodes together must
    /// stay below `max_connections` of the server. Two for each core of the server are enough.
    #[schemars(range(min = 1, max = 1000))]
    pub connections_max: u32,
    /// The time limit of a connection attempt, in milliseconds.
    #[schemars(range(min = 1000, max = 60_000))]
    pub connect_timeout_ms: u32,
    /// The time limit of a statement, in milliseconds: the server cancels it then. If the server does not answer within 2
    /// seconds more, the connection is closed.
    #[schemars(range(min = 100, max = 600_000))]
    pub statement_timeout_ms: u32,
    /// Whether statements are prepared once per connection. Poolers in transaction mode may not support this: `"auto"` does not
    /// prepare them if the start finds such a pooler. Choose `"on"` to save planning if yours does, as pgbouncer 1.21 or later with
    /// `max_prepared_statements`.
    pub prepared: Prepared,
    /// Whether a commit waits for the disk. `false` saves two thirds of the cost of small batches; a crash of the server may
    /// then lose the records of the last 0.6 seconds (three times `wal_writer_delay`).
    pub synchronous_commit: bool,
    /// A record that is announced again is not written if its expiry would move by less than this, in
    /// seconds, up to a 48th of its life: a value above that (3600 with the default
    /// `engine.record_ttl_hours`) has no further effect. 0 writes every announcement.
    #[schemars(range(max = 86_400))]
    pub refresh_slack_s: u32,
    /// The number of peers whose ids and addresses are kept in memory, about 0.4 kB each. Peers beyond it cost one more
    /// statement for each batch that names them.
    #[schemars(range(min = 1024, max = 16_777_216))]
    pub peers_cache_len_max: u32,
    /// The encryption of connections.
    pub tls: Tls,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hosts: vec!["localhost:5432".to_owned()],
            target: Target::ReadWrite,
            database: "hydra".to_owned(),
            user: "hydra".to_owned(),
            password: None,
            schema: "hydra".to_owned(),
            migrate: Migrate::Auto,
            connections_max: CONNECTIONS_MAX,
            connect_timeout_ms: CONNECT_TIMEOUT_MS,
            statement_timeout_ms: STATEMENT_TIMEOUT_MS,
            prepared: Prepared::Auto,
            synchronous_commit: true,
            refresh_slack_s: REFRESH_SLACK_S,
            peers_cache_len_max: PEERS_CACHE_LEN_MAX,
            tls: Tls::default(),
        }
    }
}

/// Which servers are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Servers that take writes.
    ReadWrite,
    /// Every server.
    Any,
}

/// Who creates and migrates the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Migrate {
    /// The node, at its start.
    Auto,
    /// An operator; the node refuses tables that are missing or of another version.
    Check,
    /// An operator; the node does not look.
    Off,
}

/// Whether statements are prepared once per connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Prepared {
    /// Unless there is a pooler in transaction mode.
    Auto,
    /// Always; behind a pooler in transaction mode each in a transaction of its own.
    On,
    /// Never, and each in a transaction of its own.
    Off,
}

/// The encryption of connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// How the connection is encrypted, as `sslmode` of libpq: `"disable"`, `"prefer"`, `"require"`, `"verify-ca"` or
    /// `"verify-full"`. Only the last two detect a server that is not yours.
    pub mode: TlsMode,
    /// The file of the root certificates, in PEM. If unset: those of the machine.
    pub root_cert_file: Option<PathBuf>,
    /// The file of the client certificate, in PEM.
    pub client_cert_file: Option<PathBuf>,
    /// The file of the private key of the client certificate, in PEM.
    pub client_key_file: Option<PathBuf>,
}

impl Default for Tls {
    fn default() -> Self {
        Self { mode: TlsMode::Prefer, root_cert_file: None, client_cert_file: None, client_key_file: None }
    }
}

/// How a connection is encrypted, as `sslmode` of libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Not at all.
    Disable,
    /// If the server can.
    Prefer,
    /// Always; the certificate is not verified.
    Require,
    /// Always; the certificate must be signed by a trusted authority.
    VerifyCa,
    /// Always; the certificate must also be for the host.
    VerifyFull,
}

//! The tables that every node has.
//!
//! Every field's doc comment is its line in `docs/CONFIG.md`, every range its bounds at load; defaults are the
//! constants next to each table.

use super::plugin_table::{PluginTable, PolicyTable};
use super::{Connections, Heads, Kad, Log, Memory, Network, Shutdown, Telemetry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// The whole config of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory of the node's files: the seed of its identities, its saved peer table and an embedded store. It is
    /// created if it does not exist. A relative path starts at the working directory. Set it to a directory that
    /// survives restarts of the host or container.
    #[schemars(with = "String", length(min = 1))]
    pub data_dir: PathBuf,
    /// The heads of this process and their listen addresses.
    pub heads: Heads,
    /// The network that the heads are part of.
    pub network: Network,
    /// The connection limits of each head and of the whole node.
    pub connections: Connections,
    /// The limits of the Kademlia protocol on each connection.
    pub kad: Kad,
    /// How requests are answered, and how the load on the store is limited.
    pub engine: hydra_engine::Config,
    /// The memory limit, what the node gives up near it, and heap profiles.
    pub memory: Memory,
    /// The stages of a shutdown and their time limits.
    pub shutdown: Shutdown,
    /// The log: its level and its format. It goes to standard error.
    pub log: Log,
    /// What operators can observe: metrics and probes over HTTP, traces over OTLP.
    pub telemetry: Telemetry,
    /// The store of provider records: `kind`, and the keys of that kind.
    pub store: PluginTable,
    /// Starts the node without its store if that cannot be reached, or is not open after 10 seconds, and opens the store as
    /// soon as it can be. Until then requests are answered with closer peers alone and announcements wait in the write queue. If
    /// `false`, the node waits for the store for `open_timeout_s`, and ends with exit code 3 if it cannot be reached. Set it
    /// where nodes and databases start in any order.
    pub start_without_store: bool,
    /// The time limit of one attempt to open a plugin, such as to connect to a database or to recover the files of an embedded
    /// store, in seconds. If it is exceeded, the node ends with exit code 3; with `start_without_store` it tries to open
    /// the store again. Raise it for an embedded store that takes longer to recover.
    #[schemars(range(min = 1, max = 86_400))]
    pub open_timeout_s: u32,
    /// The source of the identities: `kind`, and the keys of that kind.
    pub ids: PluginTable,
    /// The policies that decide whether a request is served in full, degraded or declined, in the order in which they
    /// are evaluated: list narrow ones (a peer's budget) before wide ones (the node's). A list in the config replaces
    /// the default list as a whole. With `mode = "shadow"` beside its own keys a policy decides and its decisions are
    /// counted, but they have no effect on requests: use it to try a policy out.
    #[schemars(length(max = 64))]
    pub admission: Vec<PolicyTable>,
}

impl Config {
    /// [`Self::data_dir`] by default.
    pub const DATA_DIR: &'static str = "./hydra-data";
    /// The kind of [`Self::store`] by default.
    pub const STORE_KIND: &'static str = "fjall";
    /// [`Self::open_timeout_s`] by default.
    pub const OPEN_TIMEOUT_S: u32 = 120;
    /// The kind of [`Self::ids`] by default.
    pub const IDS_KIND: &'static str = "balanced";
    /// The kinds of [`Self::admission`] by default.
    pub const ADMISSION_KINDS: [&'static str; 2] = ["token-bucket", "queue-depth"];
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: Self::DATA_DIR.into(),
            heads: Heads::default(),
            network: Network::default(),
            connections: Connections::default(),
            kad: Kad::default(),
            engine: hydra_engine::Config::default(),
            memory: Memory::default(),
            shutdown: Shutdown::default(),
            log: Log::default(),
            telemetry: Telemetry::default(),
            store: PluginTable::of(Self::STORE_KIND),
            start_without_store: false,
            open_timeout_s: Self::OPEN_TIMEOUT_S,
            ids: PluginTable::of(Self::IDS_KIND),
            admission: Self::ADMISSION_KINDS.map(PolicyTable::of).into(),
        }
    }
}

/// The JSON schema of the core's tables; plugin tables accept any key.
pub(in crate::config) fn schema() -> Value {
    schemars::schema_for!(Config).to_value()
}

//! The tables that every node has.
//!
//! Every field's doc comment is its line in `docs/CONFIG.md`, every range its bounds at load; defaults are the
//! constants next to each table.

use super::plugin_table::{PluginTable, PolicyTable};
use super::{Connections, Heads, Kad, Log, Network, Shutdown, Telemetry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The whole config of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the node keeps its files: the seed of its identities, its peer table, an embedded store. Made when it is
    /// not there. A relative path is taken from the working directory.
    pub data_dir: PathBuf,
    /// The identities that this process serves, and where they listen.
    pub heads: Heads,
    /// The network that the heads are part of.
    pub network: Network,
    /// How many connections there may be.
    pub connections: Connections,
    /// The limits of the Kademlia protocol on each connection.
    pub kad: Kad,
    /// How requests are answered and how the store is spared.
    pub engine: hydra_engine::Config,
    /// How the node stops.
    pub shutdown: Shutdown,
    /// What is logged, and how. Logs go to standard error.
    pub log: Log,
    /// What the node tells operators of itself: metrics and probes over HTTP, traces over OTLP.
    pub telemetry: Telemetry,
    /// Where provider records are kept: `kind`, and the keys of that kind.
    pub store: PluginTable,
    /// Where the identities come from: `kind`, and the keys of that kind.
    pub ids: PluginTable,
    /// Which requests are served in full, degraded or declined: policies in the order in which they are asked,
    /// narrow before wide. Naming any replaces the whole list. With `mode = "shadow"` beside its own keys a policy judges
    /// and is counted, but does not act: requests are served as if it were not there.
    #[schemars(length(max = 64))]
    pub admission: Vec<PolicyTable>,
}

impl Config {
    /// [`Self::data_dir`] unless told otherwise.
    pub const DATA_DIR: &'static str = "./hydra-data";
    /// The kind of [`Self::store`] unless told otherwise.
    pub const STORE_KIND: &'static str = "fjall";
    /// The kind of [`Self::ids`] unless told otherwise.
    pub const IDS_KIND: &'static str = "balanced";
    /// The kinds of [`Self::admission`] unless told otherwise.
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
            shutdown: Shutdown::default(),
            log: Log::default(),
            telemetry: Telemetry::default(),
            store: PluginTable::of(Self::STORE_KIND),
            ids: PluginTable::of(Self::IDS_KIND),
            admission: Self::ADMISSION_KINDS.map(PolicyTable::of).into(),
        }
    }
}

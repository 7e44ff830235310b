//! The log and the shutdown of the process.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The stages of a shutdown: the node leaves server mode, waits for requests in progress, writes its write queue and
/// closes the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// Tells the peers first that the heads are no servers any more, so that they look for others at once. If false, they
    /// keep the heads in their tables and meet them there after a restart: for private networks that have no other
    /// servers.
    pub leaves_server_mode: bool,
    /// The time that requests in progress have to end, in milliseconds. After it their streams are closed. Raise it if
    /// requests take longer; 0 closes the streams at once.
    #[schemars(range(min = 0, max = 600_000))]
    pub drain_ms: u32,
    /// The time limit of the whole shutdown, including the last writes and the closing of the store, in milliseconds.
    /// When it is exceeded, the process exits with an error, and announcements that are not written yet are lost.
    /// Raise it for a store that is slow to write.
    #[schemars(range(min = 1_000, max = 600_000))]
    pub deadline_ms: u32,
}

impl Shutdown {
    /// [`Self::drain_ms`] by default.
    pub const DRAIN_MS: u32 = 2_000;
    /// [`Self::deadline_ms`] by default.
    pub const DEADLINE_MS: u32 = 20_000;
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { leaves_server_mode: true, drain_ms: Self::DRAIN_MS, deadline_ms: Self::DEADLINE_MS }
    }
}

/// The log: its level and its format. It goes to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least severe level that is logged: `error`, `warn`, `info`, `debug`, `trace`, or a list such as
    /// `info,hydra_node::observe=debug`. Libraries log warnings and errors only, unless the list names them, as in
    /// `info,libp2p=debug`. Use `debug` for one module to diagnose a problem.
    #[schemars(length(min = 1, max = 1_000))]
    pub level: String,
    /// The format of the log.
    pub format: LogFormat,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// `pretty` on a terminal, `json` otherwise.
    Auto,
    /// Text for people to read.
    Pretty,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// The word in TOML.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Pretty => "pretty",
            Self::Json => "json",
        }
    }
}

impl Log {
    /// [`Self::level`] by default.
    pub const LEVEL: &'static str = "info";
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Self::LEVEL.to_owned(), format: LogFormat::Auto }
    }
}

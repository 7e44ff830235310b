//! How the process logs and stops.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the node stops: it leaves server mode, drains, flushes what is to be written and closes the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// How long requests that are on their way may take to end, in milliseconds.
    #[schemars(range(min = 0, max = 600_000))]
    pub drain_ms: u32,
    /// How long the whole stop may take, flush and close included, in milliseconds. After that the process ends.
    #[schemars(range(min = 1_000, max = 600_000))]
    pub deadline_ms: u32,
}

impl Shutdown {
    /// [`Self::drain_ms`] unless told otherwise.
    pub const DRAIN_MS: u32 = 2_000;
    /// [`Self::deadline_ms`] unless told otherwise.
    pub const DEADLINE_MS: u32 = 20_000;
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { drain_ms: Self::DRAIN_MS, deadline_ms: Self::DEADLINE_MS }
    }
}

/// What is logged, and how. Logs go to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a list such as `info,hydra_node::table=debug`.
    /// Libraries warn only, unless the list names them, as in `info,libp2p=debug`.
    #[schemars(length(min = 1, max = 1_000))]
    pub level: String,
    /// How it looks.
    pub format: LogFormat,
}

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    /// Lines for people.
    Pretty,
    /// One JSON object a line.
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
    /// [`Self::level`] unless told otherwise.
    pub const LEVEL: &'static str = "info";
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Self::LEVEL.to_owned(), format: LogFormat::Auto }
    }
}

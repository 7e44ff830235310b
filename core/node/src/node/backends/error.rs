//! Why the plugins of a config cannot be opened.

use crate::config::{Issue, Issues};
use crate::observe::otlp::ExporterError;
use hydra_api::OpenError;
use std::path::PathBuf;
use std::time::Duration;

/// Why the plugins of a valid config cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenBackendsError {
    /// The value of a key is wrong.
    #[error(transparent)]
    Config(Issues),
    /// The data directory cannot be created.
    #[error("cannot create the data directory {}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A plugin cannot reach what it needs, or its files are damaged.
    #[error("cannot open {role} `{kind}`")]
    Open {
        /// The role of the plugin.
        role: &'static str,
        /// Its kind.
        kind: String,
        /// The cause.
        source: OpenError,
    },
    /// A plugin is not open after the time limit.
    #[error("cannot open {role} `{kind}`: it is not open after {within:?} (open_timeout_s)")]
    TooLate {
        /// The role of the plugin.
        role: &'static str,
        /// Its kind.
        kind: String,
        /// The time limit.
        within: Duration,
    },
    /// A plugin panicked. The panic is in the log.
    #[error("cannot open {role} `{kind}`: the plugin panicked")]
    Panicked {
        /// The role of the plugin.
        role: &'static str,
        /// Its kind.
        kind: String,
    },
    /// Traces cannot be sent.
    #[error("cannot send traces")]
    Traces(#[source] ExporterError),
}

/// The value of a key is wrong.
pub(super) fn config_error(issue: Issue) -> OpenBackendsError {
    OpenBackendsError::Config(Issues(vec![issue]))
}

//! Changes of the config that an open plugin takes up.

use crate::{ConfigIssue, OpenError, OpenErrorKind};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;

/// A changed table that an open plugin does not take up. It goes on as before.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReconfigureError {
    /// The change takes effect after a restart.
    NeedsRestart {
        /// The keys that have changed, dotted from the plugin's table down; empty when no key can change.
        keys: Vec<String>,
    },
    /// The table is wrong: a restart would fail too.
    Config(ConfigIssue),
}

impl ReconfigureError {
    /// This plugin takes up no change while it is open.
    pub const fn needs_restart() -> Self {
        Self::NeedsRestart { keys: Vec::new() }
    }

    /// These keys cannot change while the plugin is open.
    pub fn keys<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self::NeedsRestart { keys: keys.into_iter().map(Into::into).collect() }
    }

    /// The mistake in the config that kept a plugin from being opened, if that was the reason.
    pub fn from_open(error: &OpenError) -> Option<Self> {
        let OpenErrorKind::Config { key } = error.kind() else { return None };
        Some(Self::Config(ConfigIssue { key: key.clone(), message: error.to_string() }))
    }

    /// Reads the table of a plugin, for a `reconfigure` of its own.
    ///
    /// # Errors
    /// [`ReconfigureError::Config`] when it is not a table of this plugin.
    pub fn parse<C: DeserializeOwned>(table: Value) -> Result<C, Self> {
        crate::plugin::parse(table).map_err(Self::Config)
    }
}

impl fmt::Display for ReconfigureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsRestart { keys } if keys.is_empty() => {
                f.write_str("a change takes effect after a restart")
            }
            Self::NeedsRestart { keys } => {
                write!(f, "a change of {} takes effect after a restart", keys.join(", "))
            }
            Self::Config(issue) => issue.fmt(f),
        }
    }
}

impl std::error::Error for ReconfigureError {}

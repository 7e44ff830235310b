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

    /// The same error as seen from the table in which the plugin's own stands at `at`: for a plugin that passes a nested
    /// table on.
    #[must_use]
    pub fn below(self, at: &str) -> Self {
        let key = |key: String| {
            if key.is_empty() || key == "." { at.to_owned() } else { format!("{at}.{key}") }
        };
        match self {
            Self::NeedsRestart { keys } if keys.is_empty() => Self::keys([at]),
            Self::NeedsRestart { keys } => Self::keys(keys.into_iter().map(key)),
            Self::Config(ConfigIssue { key: own, message }) => {
                Self::Config(ConfigIssue { key: key(own), message })
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_plugin_blames_its_keys_from_the_outer_table_down() {
        let issue =
            |key: &str| ReconfigureError::Config(ConfigIssue { key: key.into(), message: "no".into() });
        assert_eq!(ReconfigureError::needs_restart().below("inner"), ReconfigureError::keys(["inner"]));
        assert_eq!(
            ReconfigureError::keys(["a", "b.c"]).below("inner"),
            ReconfigureError::keys(["inner.a", "inner.b.c"])
        );
        assert_eq!(issue("a").below("inner"), issue("inner.a"));
        assert_eq!(issue(".").below("inner"), issue("inner"));
    }

    #[test]
    fn a_list_is_no_table() {
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(default)]
        struct Config {
            _key: u32,
        }
        for value in [serde_json::json!([]), serde_json::json!([1]), serde_json::json!(1), Value::Null] {
            let ReconfigureError::Config(issue) = ReconfigureError::parse::<Config>(value).unwrap_err()
            else {
                panic!()
            };
            assert_eq!(issue.key, ".");
        }
        assert!(ReconfigureError::parse::<Config>(serde_json::json!({})).is_ok());
    }
}

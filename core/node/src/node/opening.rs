//! One attempt to open a plugin: bounded in time, in a task of its own, its panics caught.

use hydra_api::{Entry, OpenError, OpenErrorKind, Role, Scope, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    /// The plugin says so.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It took too long.
    #[error("it is not open after {within:?} (open_timeout_s)")]
    TooLate {
        /// The time limit.
        within: Duration,
    },
    /// The plugin panicked. The panic is in the log.
    #[error("the plugin panicked")]
    Panicked,
}

impl AttemptError {
    /// True if a later attempt may succeed.
    pub(crate) fn is_unavailable(&self) -> bool {
        match self {
            Self::Open(error) => *error.kind() == OpenErrorKind::Unavailable,
            Self::TooLate { .. } => true,
            Self::Panicked => false,
        }
    }
}

/// Opens a plugin within this time; without one, however long it takes. On a runtime of several threads, a plugin that blocks its
/// thread holds up neither the time limit nor the caller.
///
/// # Errors
/// [`AttemptError`]
///
/// # Cancel safety
/// A dropped future drops the attempt.
pub(crate) async fn open<R: Role>(
    entry: Entry<R>,
    table: Value,
    scope: Scope,
    within: Option<Duration>,
) -> Result<Arc<R::Object>, AttemptError> {
    let mut attempt = JoinSet::new();
    attempt.spawn(async move { entry.open(table, &scope).await });
    let ended = match within {
        Some(within) => match timeout(within, attempt.join_next()).await {
            Ok(ended) => ended,
            Err(_) => return Err(AttemptError::TooLate { within }),
        },
        None => attempt.join_next().await,
    };
    match ended {
        Some(Ok(opened)) => Ok(opened?),
        Some(Err(_)) | None => Err(AttemptError::Panicked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_api::{Causes, Plugin, ProviderStore, Registry, Store};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    /// A store that never opens.
    struct Never;

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct NeverConfig {
        panics: bool,
    }

    impl Plugin for Never {
        type Role = Store;
        type Config = NeverConfig;
        const KIND: &'static str = "never";
        const SUMMARY: &'static str = "never opens";

        async fn open(config: NeverConfig, _: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
            assert!(!config.panics, "as it is told to");
            std::future::pending().await
        }
    }

    async fn failed(panics: bool) -> AttemptError {
        let mut registry = Registry::default();
        let entry = registry.add::<Never>().find::<Store>("never").unwrap().clone();
        let table = serde_json::json!({ "panics": panics });
        open(entry, table, Scope::new("unused"), Some(Duration::from_secs(7))).await.unwrap_err()
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_ends_in_time_and_by_no_panic() {
        let late = failed(false).await;
        assert!(late.is_unavailable());
        assert_eq!(Causes(&late).to_string(), "it is not open after 7s (open_timeout_s)");
        assert!(matches!(failed(true).await, AttemptError::Panicked));
    }
}

//! A store that stands still while it is told to.

use super::{Call, double};
use hydra_api::{ProviderStore, StoreError};
use std::sync::Arc;
use tokio::sync::watch;

/// A store whose calls do not return while it is frozen, and do not fail either.
#[derive(Debug)]
pub struct FrozenStore {
    pub(super) inner: Arc<dyn ProviderStore>,
    frozen: watch::Sender<bool>,
}

impl FrozenStore {
    /// A store that is frozen from the start.
    pub fn frozen(inner: Arc<dyn ProviderStore>) -> Self {
        Self { inner, frozen: watch::Sender::new(true) }
    }

    /// A store that serves until it is frozen.
    pub fn thawed(inner: Arc<dyn ProviderStore>) -> Self {
        Self { inner, frozen: watch::Sender::new(false) }
    }

    /// Lets no call through from now on.
    pub fn freeze(&self) {
        self.frozen.send_replace(true);
    }

    /// Lets all calls through, those that wait as well.
    pub fn thaw(&self) {
        self.frozen.send_replace(false);
    }

    pub(super) async fn enter(&self, _: Call) -> Result<(), StoreError> {
        // The sender lives as long as the store: waiting ends with the thaw alone.
        let mut frozen = self.frozen.subscribe();
        frozen.wait_for(|frozen| !frozen).await.map(drop).map_err(|_| StoreError::closed("wait"))
    }
}

double!(FrozenStore);

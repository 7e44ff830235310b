//! Stores that misbehave on purpose, or are watched: each is put around another store.
//!
//! They tell time by tokio's clock alone, so that they work on a paused one. `close` is never slow and never fails;
//! it freezes with the rest.

mod counting;
mod failing;
mod frozen;
mod slow;

pub use counting::{Counted, CountingStore};
pub use failing::FailingStore;
pub use frozen::FrozenStore;
pub use slow::SlowStore;

/// A call on its way to the store behind a double.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// So many records.
    Insert(usize),
    /// So many keys.
    Providers(usize),
    PurgeExpired,
    Estimate,
    Close,
}

impl Call {
    const fn operation(self) -> &'static str {
        match self {
            Self::Insert(_) => "insert",
            Self::Providers(_) => "providers",
            Self::PurgeExpired => "purge_expired",
            Self::Estimate => "estimate",
            Self::Close => "close",
        }
    }

    /// What the call costs a store: its records or keys, and one for any other.
    const fn rows(self) -> usize {
        match self {
            Self::Insert(len) | Self::Providers(len) => len,
            Self::PurgeExpired | Self::Estimate | Self::Close => 1,
        }
    }
}

/// A store that is `self.inner`, each call of which has to get past `self.enter(call)` and holds what that gave until it
/// has ended.
macro_rules! double {
    ($double:ty) => {
        #[hydra_api::async_trait]
        impl hydra_api::ProviderStore for $double {
            fn profile(&self) -> hydra_api::StoreProfile {
                self.inner.profile()
            }

            async fn insert(
                &self,
                batch: std::sync::Arc<[hydra_api::ProviderRecord]>,
                now: hydra_api::UnixSeconds,
            ) -> Result<hydra_api::Inserted, hydra_api::StoreError> {
                let _entered = self.enter($crate::doubles::Call::Insert(batch.len())).await?;
                self.inner.insert(batch, now).await
            }

            async fn providers(
                &self,
                keys: std::sync::Arc<[hydra_api::ContentKey]>,
                now: hydra_api::UnixSeconds,
                limit: std::num::NonZeroU32,
            ) -> Result<Vec<hydra_api::Found>, hydra_api::StoreError> {
                let _entered = self.enter($crate::doubles::Call::Providers(keys.len())).await?;
                self.inner.providers(keys, now, limit).await
            }

            async fn purge_expired(
                &self,
                now: hydra_api::UnixSeconds,
                limit: std::num::NonZeroU32,
            ) -> Result<hydra_api::Purged, hydra_api::StoreError> {
                let _entered = self.enter($crate::doubles::Call::PurgeExpired).await?;
                self.inner.purge_expired(now, limit).await
            }

            async fn estimate(&self) -> Result<hydra_api::Estimate, hydra_api::StoreError> {
                let _entered = self.enter($crate::doubles::Call::Estimate).await?;
                self.inner.estimate().await
            }

            async fn close(&self) -> Result<(), hydra_api::StoreError> {
                let _entered = self.enter($crate::doubles::Call::Close).await?;
                self.inner.close().await
            }
        }
    };
}
use double;

#[cfg(test)]
mod tests;

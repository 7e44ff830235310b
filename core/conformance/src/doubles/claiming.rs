//! A store that claims what is not so.

use super::{Behaviour, Double, locked};
use hydra_api::{Estimate, ProviderStore, StoreError, StoreProfile, async_trait};
use std::sync::{Arc, Mutex};

/// A store with the profile and the estimate that a test wants: another capacity, absurd lengths of batches, an age of
/// [`Duration::MAX`](std::time::Duration::MAX).
pub type ClaimingStore = Double<Claiming>;

/// The behaviour of a [`ClaimingStore`].
#[derive(Debug, Default)]
pub struct Claiming {
    profile: Mutex<Option<StoreProfile>>,
    estimate: Mutex<Option<Estimate>>,
}

impl ClaimingStore {
    /// Claims to have this profile, and the estimate that `inner` has.
    pub fn new(inner: Arc<dyn ProviderStore>, profile: StoreProfile) -> Self {
        Self::of(inner, Claiming { profile: Mutex::new(Some(profile)), estimate: Mutex::default() })
    }

    /// From now on claims this profile; that of the store behind it when there is none.
    pub fn set_profile(&self, profile: Option<StoreProfile>) {
        *locked(&self.behaviour.profile) = profile;
    }

    /// From now on claims this estimate; that of the store behind it when there is none.
    pub fn set_estimate(&self, estimate: Option<Estimate>) {
        *locked(&self.behaviour.estimate) = estimate;
    }
}

#[async_trait]
impl Behaviour for Claiming {
    fn profile(&self, inner: StoreProfile) -> StoreProfile {
        locked(&self.profile).unwrap_or(inner)
    }

    async fn estimate(&self, inner: &dyn ProviderStore) -> Result<Estimate, StoreError> {
        let estimate = inner.estimate().await?;
        Ok(locked(&self.estimate).unwrap_or(estimate))
    }
}

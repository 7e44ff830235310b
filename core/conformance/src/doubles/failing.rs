//! A store that fails.

use super::{Call, double};
use crate::given::Chance;
use hydra_api::{ProviderStore, StoreError, StoreErrorKind};
use std::sync::{Arc, Mutex, PoisonError};

/// A store that fails a share of its calls, before they reach the store behind it.
#[derive(Debug)]
pub struct FailingStore {
    pub(super) inner: Arc<dyn ProviderStore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    kind: StoreErrorKind,
    per_mille: u32,
    chance: Chance,
}

impl FailingStore {
    /// Fails `per_mille` of a thousand calls with `kind`; which ones follows from `seed`.
    pub fn new(inner: Arc<dyn ProviderStore>, kind: StoreErrorKind, per_mille: u32, seed: u64) -> Self {
        Self { inner, state: Mutex::new(State { kind, per_mille, chance: Chance::of(seed) }) }
    }

    /// From now on fails `per_mille` of a thousand calls with `kind`.
    pub fn set(&self, kind: StoreErrorKind, per_mille: u32) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.kind, state.per_mille) = (kind, per_mille);
    }

    pub(super) async fn enter(&self, call: Call) -> Result<(), StoreError> {
        if call == Call::Close {
            return Ok(());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.chance.below(1000) < u64::from(state.per_mille) {
            return Err(StoreError::because(state.kind, call.operation(), "the test wants it to fail"));
        }
        Ok(())
    }
}

double!(FailingStore);

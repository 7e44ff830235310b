//! A store that panics.

use super::{Behaviour, Call, Calls, Double, Share, locked};
use hydra_api::{ProviderStore, StoreError, async_trait};
use std::sync::{Arc, Mutex};

/// A store that panics in a share of its calls, when they are polled first and before they reach the store behind it.
pub type PanicsSometimes = Double<Panicking>;

/// The behaviour of a [`PanicsSometimes`].
#[derive(Debug)]
pub struct Panicking(Mutex<(Share, Calls)>);

impl PanicsSometimes {
    /// Panics in `per_mille` of a thousand calls; which ones follows from `seed`.
    pub fn new(inner: Arc<dyn ProviderStore>, per_mille: u32, seed: u64) -> Self {
        Self::of(inner, Panicking(Mutex::new((Share::of(per_mille, seed), Calls::All))))
    }

    /// From now on panics in `per_mille` of a thousand of these calls.
    pub fn set(&self, per_mille: u32, calls: Calls) {
        let mut state = locked(&self.behaviour.0);
        state.0.per_mille = per_mille;
        state.1 = calls;
    }
}

#[async_trait]
impl Behaviour for Panicking {
    async fn enter(&self, call: Call) -> Result<(), StoreError> {
        let panics = {
            let (share, calls) = &mut *locked(&self.0);
            calls.contain(call) && share.next()
        };
        if panics { panic_as_wanted() } else { Ok(()) }
    }
}

/// Unwinds without a word: the panics of a test that wants them would fill its output.
pub(super) fn panic_as_wanted() -> ! {
    std::panic::resume_unwind(Box::new("the test wants it to panic"))
}

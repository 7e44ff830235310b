//! A store that fails.

use super::{Behaviour, Call, Calls, Double, Share, locked};
use hydra_api::{ProviderStore, StoreError, StoreErrorKind, async_trait};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// A store that fails a share of its calls at once, before they reach the store behind it.
pub type FailingStore = Double<Failing>;

/// The behaviour of a [`FailingStore`].
#[derive(Debug)]
pub struct Failing(Mutex<State>);

#[derive(Debug)]
struct State {
    kind: StoreErrorKind,
    share: Share,
    calls: Calls,
    retry_after: Option<Duration>,
    flaps: Option<Flaps>,
}

/// It fails and serves in turn, for this long each.
#[derive(Debug)]
struct Flaps {
    since: Instant,
    every: Duration,
}

impl FailingStore {
    /// Fails `per_mille` of a thousand calls with `kind`; which ones follows from `seed`.
    pub fn new(inner: Arc<dyn ProviderStore>, kind: StoreErrorKind, per_mille: u32, seed: u64) -> Self {
        let share = Share::of(per_mille, seed);
        let state = State { kind, share, calls: Calls::All, retry_after: None, flaps: None };
        Self::of(inner, Failing(Mutex::new(state)))
    }

    /// From now on fails `per_mille` of a thousand calls with `kind`, without turns.
    pub fn set(&self, kind: StoreErrorKind, per_mille: u32) {
        let mut state = locked(&self.behaviour.0);
        (state.kind, state.share.per_mille, state.flaps) = (kind, per_mille, None);
    }

    /// From now on fails these calls alone.
    pub fn set_calls(&self, calls: Calls) {
        locked(&self.behaviour.0).calls = calls;
    }

    /// From now on asks for a pause of this length with each failure.
    pub fn set_retry_after(&self, pause: Option<Duration>) {
        locked(&self.behaviour.0).retry_after = pause;
    }

    /// From now on fails for `every`, serves for `every`, and so on. What fails is as before.
    pub fn flap(&self, every: Duration) {
        locked(&self.behaviour.0).flaps = Some(Flaps { since: Instant::now(), every });
    }
}

impl State {
    fn fails(&mut self, call: Call) -> bool {
        let serves = self.flaps.as_ref().is_some_and(|flaps| {
            let turns = flaps.since.elapsed().as_nanos().checked_div(flaps.every.as_nanos());
            turns.is_none_or(|turns| turns % 2 == 1)
        });
        self.calls.contain(call) && !serves && self.share.next()
    }
}

#[async_trait]
impl Behaviour for Failing {
    async fn enter(&self, call: Call) -> Result<(), StoreError> {
        let mut state = locked(&self.0);
        if !state.fails(call) {
            return Ok(());
        }
        let error = StoreError::because(state.kind, call.operation(), "the test wants it to fail");
        Err(match state.retry_after {
            Some(pause) => error.retry_after(pause),
            None => error,
        })
    }
}

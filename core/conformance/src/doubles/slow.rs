//! A store that takes its time.

use super::{Call, double};
use hydra_api::{ProviderStore, StoreError};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A store each of whose calls takes some time more.
#[derive(Debug)]
pub struct SlowStore {
    pub(super) inner: Arc<dyn ProviderStore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    delay: Duration,
    rows_per_s: Option<NonZeroU32>,
    /// When it is through with what was asked so far.
    free_at: Instant,
}

impl SlowStore {
    /// Each call takes `delay` more, however many there are at a time.
    pub fn delayed(inner: Arc<dyn ProviderStore>, delay: Duration) -> Self {
        Self { inner, state: Mutex::new(State { delay, rows_per_s: None, free_at: Instant::now() }) }
    }

    /// Serves so many records or keys a second, one call after another, as a store at its limit does.
    pub fn at_speed(inner: Arc<dyn ProviderStore>, rows_per_s: NonZeroU32) -> Self {
        let state = State { delay: Duration::ZERO, rows_per_s: Some(rows_per_s), free_at: Instant::now() };
        Self { inner, state: Mutex::new(state) }
    }

    /// From now on each call takes `delay` more, beside what the speed makes it wait.
    pub fn set_delay(&self, delay: Duration) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).delay = delay;
    }

    pub(super) async fn enter(&self, call: Call) -> Result<(), StoreError> {
        if call == Call::Close {
            return Ok(());
        }
        let until = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if let Some(rows_per_s) = state.rows_per_s {
                let takes = Duration::from_secs(1) * call.rows() as u32 / rows_per_s.get();
                state.free_at = state.free_at.max(now) + takes;
            }
            state.free_at.max(now) + state.delay
        };
        sleep_until(until).await;
        Ok(())
    }
}

double!(SlowStore);

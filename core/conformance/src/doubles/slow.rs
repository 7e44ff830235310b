//! A store that takes its time.

use super::{Behaviour, Call, Calls, Double, locked};
use hydra_api::{
    ContentKey, Estimate, Found, Inserted, ProviderRecord, ProviderStore, Purged, StoreError, UnixSeconds,
    async_trait,
};
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A store each of whose calls takes some time more.
pub type SlowStore = Double<Slow>;

/// The behaviour of a [`SlowStore`].
#[derive(Debug)]
pub struct Slow(Mutex<State>);

/// When a slow store waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Waits {
    /// Before a call reaches the store behind it. A call that is dropped meanwhile has not.
    #[default]
    BeforeCall,
    /// After the store behind it has answered: a read brings what was there when it began, and what is written is there
    /// before it is known to be.
    AfterCall,
}

#[derive(Debug)]
struct State {
    waits: Waits,
    delay: Duration,
    per_row: Duration,
    calls: Calls,
    close_delay: Duration,
    rows_per_s: Option<NonZeroU32>,
    /// When it is through with what was asked so far.
    free_at: Instant,
}

impl SlowStore {
    /// Each call takes `delay` more, however many there are at a time and however long its batch is.
    pub fn delayed(inner: Arc<dyn ProviderStore>, delay: Duration) -> Self {
        Self::costing(inner, delay, Duration::ZERO)
    }

    /// Each call takes `per_call` more, and `per_row` for each of its records or keys, however many calls there are at a
    /// time.
    pub fn costing(inner: Arc<dyn ProviderStore>, per_call: Duration, per_row: Duration) -> Self {
        Self::of(inner, Slow(Mutex::new(State::new(per_call, per_row, None))))
    }

    /// Serves so many records or keys a second, one call after another, as a store at its limit does. A call that is
    /// dropped has taken its time all the same.
    pub fn at_speed(inner: Arc<dyn ProviderStore>, rows_per_s: NonZeroU32) -> Self {
        Self::of(inner, Slow(Mutex::new(State::new(Duration::ZERO, Duration::ZERO, Some(rows_per_s)))))
    }

    /// From now on each call takes `delay` more, beside what its rows and the speed make it wait.
    pub fn set_delay(&self, delay: Duration) {
        locked(&self.behaviour.0).delay = delay;
    }

    /// From now on each record or key takes `per_row` more.
    pub fn set_per_row(&self, per_row: Duration) {
        locked(&self.behaviour.0).per_row = per_row;
    }

    /// From now on serves so many records or keys a second; any number when there is none.
    pub fn set_speed(&self, rows_per_s: Option<NonZeroU32>) {
        let mut state = locked(&self.behaviour.0);
        (state.rows_per_s, state.free_at) = (rows_per_s, Instant::now());
    }

    /// From now on these calls alone are slow.
    pub fn set_calls(&self, calls: Calls) {
        locked(&self.behaviour.0).calls = calls;
    }

    /// From now on waits then. `close` always takes its time before.
    pub fn set_waits(&self, waits: Waits) {
        locked(&self.behaviour.0).waits = waits;
    }

    /// From now on `close` takes this long more.
    pub fn set_close_delay(&self, delay: Duration) {
        locked(&self.behaviour.0).close_delay = delay;
    }
}

impl State {
    fn new(delay: Duration, per_row: Duration, rows_per_s: Option<NonZeroU32>) -> Self {
        let (calls, close_delay, free_at) = (Calls::All, Duration::ZERO, Instant::now());
        Self { waits: Waits::default(), delay, per_row, calls, close_delay, rows_per_s, free_at }
    }

    /// Until when a call that begins now takes more; `None` when it takes no more time.
    fn until(&mut self, call: Call) -> Option<Instant> {
        let now = Instant::now();
        if call == Call::Close {
            return (self.close_delay > Duration::ZERO).then(|| now + self.close_delay);
        }
        if !self.calls.contain(call) {
            return None;
        }
        let rows = u32::try_from(call.rows()).unwrap_or(u32::MAX);
        if let Some(rows_per_s) = self.rows_per_s {
            self.free_at = self.free_at.max(now) + Duration::from_secs(1) * rows / rows_per_s.get();
        }
        let until = self.free_at.max(now) + self.delay + self.per_row * rows;
        (until > now).then_some(until)
    }
}

impl Slow {
    /// When a call that begins now ends its wait at this side of the store behind it.
    fn until(&self, side: Waits, call: Call) -> Option<Instant> {
        let mut state = locked(&self.0);
        let waits = if call == Call::Close { Waits::BeforeCall } else { state.waits };
        if waits == side { state.until(call) } else { None }
    }

    /// Makes the call, and waits after it if that is due.
    async fn then_wait<T>(&self, call: Call, inner: impl Future<Output = T> + Send) -> T {
        let until = self.until(Waits::AfterCall, call);
        let answer = inner.await;
        wait(until).await;
        answer
    }
}

async fn wait(until: Option<Instant>) {
    if let Some(until) = until {
        sleep_until(until).await;
    }
}

#[async_trait]
impl Behaviour for Slow {
    async fn enter(&self, call: Call) -> Result<(), StoreError> {
        wait(self.until(Waits::BeforeCall, call)).await;
        Ok(())
    }

    async fn insert(
        &self,
        inner: &dyn ProviderStore,
        batch: Arc<[ProviderRecord]>,
        now: UnixSeconds,
    ) -> Result<Inserted, StoreError> {
        self.then_wait(Call::Insert(batch.len()), inner.insert(batch, now)).await
    }

    async fn providers(
        &self,
        inner: &dyn ProviderStore,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        self.then_wait(Call::Providers(keys.len()), inner.providers(keys, now, limit)).await
    }

    async fn purge_expired(
        &self,
        inner: &dyn ProviderStore,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Purged, StoreError> {
        self.then_wait(Call::PurgeExpired, inner.purge_expired(now, limit)).await
    }

    async fn estimate(&self, inner: &dyn ProviderStore) -> Result<Estimate, StoreError> {
        self.then_wait(Call::Estimate, inner.estimate()).await
    }
}

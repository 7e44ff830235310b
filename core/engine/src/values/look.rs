//! The store calls that read value records.

use super::Values;
use super::flights::Flight;
use crate::clock::Now;
use crate::observe::{StoreCall, trace};
use crate::request::Ending;
use crate::store::{Failure, Lane, Permit, gravest};
use crate::sync::{add, lock};
use hydra_api::{FoundValue, ProviderStore, StoreError, UnixSeconds, ValueKey, ValueRecord};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Reads keys that wait, as many as wait in one call, whenever a permit is free for it.
pub(crate) async fn look(values: Arc<Values>) {
    loop {
        values.flights.keys_wait().await;
        let permit = values.backend.gate.acquire(Lane::ValueReads).await;
        let (flights, now) = (values.flights.depart(), values.clock.read());
        if flights.is_empty() {
            continue;
        }
        add(&values.backend.stats.values.statements, 1);
        let keys = flights.iter().map(|flight| flight.key).collect();
        let aboard = Aboard { values: values.clone(), flights, departed: now.instant };
        // Requests wait for their flights, not for the call.
        drop(values.read(permit, keys, now, |found| aboard.land(found)));
    }
}

impl Values {
    /// Reads the key of the last read that failed once more, to see whether the store answers again.
    ///
    /// # Errors
    /// The permit, if none has failed.
    pub(crate) fn probe(&self, permit: Permit) -> Result<(), Permit> {
        let Some(key) = *lock(&self.failed) else { return Err(permit) };
        // What it brings is noted where it ends.
        drop(self.read(permit, [key].into(), self.clock.read(), drop));
        Ok(())
    }

    /// Starts a call that reads these keys.
    pub(super) fn read<U: Send + 'static>(
        &self,
        permit: Permit,
        keys: Arc<[ValueKey]>,
        now: Now,
        then: impl FnOnce(Result<Vec<FoundValue>, Failure>) -> U + Send + 'static,
    ) -> JoinHandle<U> {
        let (store, len) = (self.backend.store.clone(), keys.len());
        let (life, sure) = (self.limits.value_ttl, self.clock.sure_date());
        let span = trace::background(&self.backend.tracer, StoreCall::GetValues, len);
        let call = async move {
            let found = checked(values_of(&*store)?.get(keys, sure).await?, len)?;
            Ok(found.into_iter().map(|found| bounded(found, now.unix, life)).collect())
        };
        self.backend.start(permit, StoreCall::GetValues, len, span, call, then)
    }
}

/// The value store, or that there is none any more.
pub(super) fn values_of(store: &dyn ProviderStore) -> Result<&dyn hydra_api::ValueStore, StoreError> {
    store.values().ok_or_else(|| StoreError::not_supported("values"))
}

/// A record lives no longer than this node lets it after its receipt, and what was received under a clock that was ahead no longer
/// than what is received now. What no store may return is nothing.
fn bounded(found: FoundValue, now: UnixSeconds, life: Duration) -> FoundValue {
    let FoundValue::Known(Some(record)) = found else { return found };
    let expires = record.expires.min(record.received.min(now).saturating_add(life));
    let is_one = (1..=ValueRecord::LEN_MAX).contains(&record.value.len());
    FoundValue::Known(is_one.then_some(ValueRecord { expires, ..record }))
}

/// One entry for each key. An answer that says nothing of any key is a failure.
fn checked(found: Vec<FoundValue>, keys: usize) -> Result<Vec<FoundValue>, Failure> {
    if found.len() != keys {
        return Err(Failure::Broke("the store answered for more or fewer keys than it was asked for"));
    }
    let unknown = |found: &FoundValue| match found {
        FoundValue::Unknown(kind) => Some(*kind),
        FoundValue::Known(_) => None,
    };
    let kinds: Option<Vec<_>> = found.iter().map(unknown).collect();
    match kinds.and_then(gravest) {
        Some(kind) => {
            Err(Failure::Unknown(StoreError::new(kind, StoreCall::GetValues.as_str()), found.len()))
        }
        None => Ok(found),
    }
}

/// The flights of one store call. Those that have not landed when it is dropped, as by a panic of the store, have failed.
struct Aboard {
    values: Arc<Values>,
    flights: Vec<Arc<Flight>>,
    departed: Instant,
}

impl Aboard {
    fn land(mut self, found: Result<Vec<FoundValue>, Failure>) {
        // A failure lands them all as failed.
        let Ok(found) = found else { return };
        let mut unknown = None;
        for (flight, found) in std::mem::take(&mut self.flights).into_iter().zip(found) {
            let landing = match found {
                FoundValue::Known(record) => Ok(record),
                FoundValue::Unknown(kind) => {
                    unknown = gravest(unknown.into_iter().chain([kind]));
                    Err(Ending::StoreFailed)
                }
            };
            self.values.flights.land(&flight, landing, self.departed);
        }
        if let Some(kind) = unknown {
            self.values.backend.failed_in_part(StoreCall::GetValues, kind);
        }
    }
}

impl Drop for Aboard {
    fn drop(&mut self) {
        if let Some(flight) = self.flights.first() {
            *lock(&self.values.failed) = Some(flight.key);
        }
        for flight in &self.flights {
            self.values.flights.land(flight, Err(Ending::StoreFailed), self.departed);
        }
    }
}

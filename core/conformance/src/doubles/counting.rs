//! A store whose calls are counted.

use super::{Call, double};
use hydra_api::{ProviderStore, StoreError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A store that counts what it is asked.
#[derive(Debug)]
pub struct CountingStore {
    pub(super) inner: Arc<dyn ProviderStore>,
    counted: Arc<Mutex<Counted>>,
}

/// What a store was asked so far. A call counts from its first poll on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Calls of every kind but `close`.
    pub statements: u64,
    /// Calls of `insert`.
    pub inserts: u64,
    /// Records in them.
    pub records: u64,
    /// Calls of `providers`.
    pub reads: u64,
    /// Keys in them.
    pub keys: u64,
    /// Calls that have not ended.
    pub in_flight: u64,
    /// The most of them at a time.
    pub in_flight_max: u64,
}

impl CountingStore {
    /// Counts what `inner` is asked.
    pub fn new(inner: Arc<dyn ProviderStore>) -> Self {
        Self { inner, counted: Arc::default() }
    }

    /// What was counted so far.
    pub fn counted(&self) -> Counted {
        *locked(&self.counted)
    }

    pub(super) async fn enter(&self, call: Call) -> Result<InFlight, StoreError> {
        let mut counted = locked(&self.counted);
        counted.in_flight += 1;
        counted.in_flight_max = counted.in_flight_max.max(counted.in_flight);
        match call {
            Call::Insert(len) => {
                counted.statements += 1;
                counted.inserts += 1;
                counted.records += len as u64;
            }
            Call::Providers(len) => {
                counted.statements += 1;
                counted.reads += 1;
                counted.keys += len as u64;
            }
            Call::PurgeExpired | Call::Estimate => counted.statements += 1,
            Call::Close => {}
        }
        Ok(InFlight(Arc::clone(&self.counted)))
    }
}

fn locked(counted: &Mutex<Counted>) -> MutexGuard<'_, Counted> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call that has not ended; one that is dropped has.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Mutex<Counted>>);

impl Drop for InFlight {
    fn drop(&mut self) {
        locked(&self.0).in_flight -= 1;
    }
}

double!(CountingStore);

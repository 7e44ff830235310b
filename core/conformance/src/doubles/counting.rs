//! A store whose calls are counted.

use super::{Behaviour, Call, Double, locked};
use hydra_api::{ProviderStore, StoreError};
use std::sync::{Arc, Mutex};

/// A store that counts what it is asked, as every double does, and nothing more.
pub type CountingStore = Double<Counting>;

/// The behaviour of a [`CountingStore`].
#[derive(Debug, Default)]
pub struct Counting;

impl Behaviour for Counting {}

impl CountingStore {
    /// Counts what `inner` is asked.
    pub fn new(inner: Arc<dyn ProviderStore>) -> Self {
        Self::of(inner, Counting)
    }
}

/// What a store was asked so far. A call counts from its first poll on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counted {
    /// Calls of every kind but `close`.
    pub statements: u64,
    /// Calls of `insert`.
    pub inserts: u64,
    /// Records in them.
    pub records: u64,
    /// Records in the largest of them.
    pub records_max: u64,
    /// Calls of `providers`.
    pub reads: u64,
    /// Keys in them.
    pub keys: u64,
    /// Keys in the largest of them.
    pub keys_max: u64,
    /// Calls of `purge_expired`.
    pub purges: u64,
    /// Calls of `estimate`.
    pub estimates: u64,
    /// Calls of `delete`.
    pub deletions: u64,
    /// Calls of `scan`.
    pub scans: u64,
    /// Calls of `get` of values.
    pub value_reads: u64,
    /// Keys in them.
    pub value_keys: u64,
    /// Calls of `put_if`.
    pub puts: u64,
    /// Value records in them.
    pub put_records: u64,
    /// Calls that have ended with an answer, an error or a panic, or were dropped: all that are not in flight.
    pub ended: u64,
    /// Those of them that ended with an answer.
    pub answered: u64,
    /// Calls that have not ended.
    pub in_flight: u64,
    /// The most of them at a time.
    pub in_flight_max: u64,
    /// Calls other than `close` after it, which are counted here alone.
    pub after_close: u64,
}

/// Counts the calls of a double.
#[derive(Debug, Default)]
pub(super) struct Counter(Arc<Mutex<Counted>>);

impl Counter {
    pub(super) fn counted(&self) -> Counted {
        *locked(&self.0)
    }

    pub(super) fn after_close(&self) {
        locked(&self.0).after_close += 1;
    }

    pub(super) fn enter(&self, call: Call) -> InFlight {
        let mut counted = locked(&self.0);
        counted.in_flight += 1;
        counted.in_flight_max = counted.in_flight_max.max(counted.in_flight);
        counted.statements += u64::from(call != Call::Close);
        match call {
            Call::Insert(len) => {
                counted.inserts += 1;
                counted.records += len as u64;
                counted.records_max = counted.records_max.max(len as u64);
            }
            Call::Providers(len) => {
                counted.reads += 1;
                counted.keys += len as u64;
                counted.keys_max = counted.keys_max.max(len as u64);
            }
            Call::GetValues(len) => {
                counted.value_reads += 1;
                counted.value_keys += len as u64;
            }
            Call::PutValues(len) => {
                counted.puts += 1;
                counted.put_records += len as u64;
            }
            Call::PurgeExpired => counted.purges += 1,
            Call::Estimate => counted.estimates += 1,
            Call::Delete => counted.deletions += 1,
            Call::Scan => counted.scans += 1,
            Call::UpkeepOfValues(_) | Call::Close => {}
        }
        InFlight(Arc::clone(&self.0))
    }
}

/// A call that has not ended; one that is dropped has.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Mutex<Counted>>);

impl InFlight {
    /// Ends the call.
    pub(super) fn ended<T>(self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_ok() {
            locked(&self.0).answered += 1;
        }
        result
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut counted = locked(&self.0);
        counted.in_flight -= 1;
        counted.ended += 1;
    }
}

//! The numbers of the tests under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The numbers of a head's tests under way, and whether each was handed over. There are as many as tests, which are bounded.
#[derive(Debug, Default)]
pub(super) struct Nonces(Mutex<HashMap<u64, bool>>);

/// The number of one test, which is forgotten with it.
#[derive(Debug)]
pub(super) struct Nonce {
    all: Arc<Nonces>,
    number: u64,
}

impl Nonces {
    /// A number that nobody can guess.
    pub(super) fn begin(self: &Arc<Self>) -> Nonce {
        let number = rand::random();
        self.lock().insert(number, false);
        Nonce { all: Arc::clone(self), number }
    }

    /// Whether a test is under way.
    pub(super) fn are_awaited(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Notes that a number was handed over; false if it is that of no test.
    pub(super) fn arrived(&self, number: u64) -> bool {
        self.lock().get_mut(&number).map(|has_arrived| *has_arrived = true).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nonce {
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn has_arrived(&self) -> bool {
        self.all.lock().get(&self.number).copied().unwrap_or_default()
    }
}

impl Drop for Nonce {
    fn drop(&mut self) {
        self.all.lock().remove(&self.number);
    }
}

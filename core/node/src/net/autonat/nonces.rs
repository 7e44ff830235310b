//! The numbers of the tests under way.

use super::path::Path;
use libp2p::Multiaddr;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The numbers of a head's tests under way. There are as many as tests, which are bounded.
#[derive(Debug, Default)]
pub(super) struct Nonces(Mutex<HashMap<u64, Awaited>>);

/// A number that a server is to hand over.
#[derive(Debug)]
struct Awaited {
    /// The path of the address that is tested: on another one it proves nothing.
    over: Option<Path>,
    has_arrived: bool,
}

/// The number of one test, which is forgotten with it.
#[derive(Debug)]
pub(super) struct Nonce {
    all: Arc<Nonces>,
    number: u64,
}

impl Nonces {
    /// A number that nobody can guess, for a test of this address.
    pub(super) fn begin(self: &Arc<Self>, tested: &Multiaddr) -> Nonce {
        let number = rand::random();
        self.lock().insert(number, Awaited { over: Path::of(tested), has_arrived: false });
        Nonce { all: Arc::clone(self), number }
    }

    /// Whether a test is under way.
    pub(super) fn are_awaited(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Notes that a number was handed over on this path; false if it is that of no test of such an address.
    pub(super) fn arrived(&self, number: u64, over: Option<Path>) -> bool {
        let mut numbers = self.lock();
        let Some(awaited) = numbers.get_mut(&number).filter(|awaited| awaited.over == over) else {
            return false;
        };
        awaited.has_arrived = true;
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Awaited>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nonce {
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn has_arrived(&self) -> bool {
        self.all.lock().get(&self.number).is_some_and(|awaited| awaited.has_arrived)
    }
}

impl Drop for Nonce {
    fn drop(&mut self) {
        self.all.lock().remove(&self.number);
    }
}

//! How far the opening of a store is that was not open when its node started.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How far the opening of a store is that was not open when its node started. The default is a store that was.
#[derive(Debug, Clone, Default)]
pub struct StoreOpening(Option<Arc<Awaited>>);

impl StoreOpening {
    /// The opening of a store that is awaited.
    pub(crate) fn of(awaited: Arc<Awaited>) -> Self {
        Self(Some(awaited))
    }

    /// For how long the store has been awaited, and why the last attempt to open it failed; `None` once it is open.
    pub fn awaited(&self) -> Option<(Duration, String)> {
        let awaited = self.0.as_ref()?;
        (!awaited.is_open.load(Ordering::Acquire)).then(|| (awaited.since.elapsed(), awaited.cause()))
    }
}

/// A store that is awaited, or was. Written where the store is opened.
#[derive(Debug)]
pub(crate) struct Awaited {
    /// Since when.
    pub(crate) since: Instant,
    cause: Mutex<String>,
    is_open: AtomicBool,
}

impl Awaited {
    /// A store that is awaited from now on; `cause` says why it is not open.
    pub(crate) fn new(cause: String) -> Self {
        Self { since: Instant::now(), cause: Mutex::new(cause), is_open: AtomicBool::new(false) }
    }

    /// Why the last attempt failed.
    pub(crate) fn cause(&self) -> String {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A further attempt failed.
    pub(crate) fn failed(&self, cause: String) {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = cause;
    }

    /// The store is open.
    pub(crate) fn opened(&self) {
        self.is_open.store(true, Ordering::Release);
    }
}

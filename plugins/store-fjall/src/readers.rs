//! Where reads find the engine, and how it is taken from them.

use crate::read::Reader;
use hydra_api::StoreError;
use hydra_embedded::Refused;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether the last read has ended.
const DRAIN_PAUSE: Duration = Duration::from_millis(1);

/// The reader, or why there is none.
#[derive(Debug)]
pub(crate) struct Readers(RwLock<Place>);

#[derive(Debug, Clone)]
enum Place {
    Open(Arc<Reader>),
    /// The engine is being reopened, or cannot be.
    Down(Refused),
    Closed,
}

impl Readers {
    pub(crate) fn new(reader: Arc<Reader>) -> Self {
        Self(RwLock::new(Place::Open(reader)))
    }

    /// The reader for one call, which drops it before it gives its permit back.
    pub(crate) fn reader(&self, operation: &'static str) -> Result<Arc<Reader>, StoreError> {
        match &*self.place() {
            Place::Open(reader) => Ok(Arc::clone(reader)),
            Place::Down(refused) => Err(refused.error(operation)),
            Place::Closed => Err(StoreError::closed(operation)),
        }
    }

    /// Takes the reader away and waits until the last read has ended; whether it has within `wait_max`. If not, reads
    /// go on.
    pub(crate) fn drain(&self, refused: &Refused, wait_max: Duration) -> bool {
        let reader = {
            let mut place = self.place_mut();
            let Place::Open(reader) = &*place else { return true };
            let reader = Arc::clone(reader);
            *place = Place::Down(refused.clone());
            reader
        };
        let begun = Instant::now();
        while Arc::strong_count(&reader) > 1 {
            if begun.elapsed() > wait_max {
                self.put(reader);
                return false;
            }
            thread::sleep(DRAIN_PAUSE);
        }
        true
    }

    /// Gives reads a reader, unless the store was closed meanwhile.
    pub(crate) fn put(&self, reader: Arc<Reader>) {
        self.replace(Place::Open(reader));
    }

    /// Notes why there is no reader, when there is none.
    pub(crate) fn fail(&self, refused: &Refused) {
        if !matches!(&*self.place(), Place::Open(_)) {
            self.replace(Place::Down(refused.clone()));
        }
    }

    /// Ends all reads to come.
    pub(crate) fn close(&self) {
        *self.place_mut() = Place::Closed;
    }

    fn replace(&self, by: Place) {
        let mut place = self.place_mut();
        if !matches!(*place, Place::Closed) {
            *place = by;
        }
    }

    fn place(&self) -> RwLockReadGuard<'_, Place> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn place_mut(&self) -> RwLockWriteGuard<'_, Place> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

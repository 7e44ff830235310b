//! A statement under way, counted however it ends.

use hydra_remote::Meter;
use std::sync::Arc;
use std::time::Instant;

/// The class of the error of a statement whose caller gave up.
pub(crate) const DROPPED: &str = "dropped";

/// A statement under way. Dropped before [`UnderWay::ended`], it is counted as one whose caller gave up.
#[derive(Debug)]
pub(super) struct UnderWay {
    meter: Arc<Meter>,
    operation: &'static str,
    begun: Instant,
    /// The class of its error, unless it succeeded.
    error: Option<&'static str>,
}

impl UnderWay {
    /// One that begins now.
    pub(super) fn begin(meter: &Arc<Meter>, operation: &'static str) -> Self {
        Self { meter: Arc::clone(meter), operation, begun: Instant::now(), error: Some(DROPPED) }
    }

    /// Counts it with the class of its error, if it failed.
    pub(super) fn ended(mut self, error: Option<&'static str>) {
        self.error = error;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.meter.ended(self.operation, self.begun.elapsed());
        if let Some(class) = self.error {
            self.meter.failed(class);
        }
    }
}

//! What is under way: it is measured also if the future that waits for it is dropped.

use super::{DROPPED, Meter};
use std::time::Instant;
use tracing::Span;

/// A statement that was sent. Dropped without [`Self::end`], it was given up by its caller.
#[derive(Debug)]
#[must_use = "a statement that is dropped at once was given up"]
pub struct Statement<'m> {
    meter: &'m Meter,
    operation: &'static str,
    span: Span,
    begun: Instant,
    has_ended: bool,
}

/// An attempt to connect. Dropped without [`Self::end`], it was given up by its caller.
#[derive(Debug)]
#[must_use = "an attempt that is dropped at once was given up"]
pub struct Connecting<'m> {
    meter: &'m Meter,
    has_ended: bool,
}

impl<'m> Statement<'m> {
    pub(super) fn new(meter: &'m Meter, operation: &'static str) -> Self {
        Self { meter, operation, span: meter.span(operation), begun: Instant::now(), has_ended: false }
    }

    /// Its span, within that of the call; disabled unless the call is traced.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Counts it. Its error, if it has one, is counted by [`Meter::failed`].
    pub fn end(mut self) {
        self.has_ended = true;
    }
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        self.meter.ended(self.operation, self.begun.elapsed());
        if !self.has_ended {
            self.meter.errors.add_dropped();
            self.span.record("error.type", DROPPED);
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

impl<'m> Connecting<'m> {
    pub(super) const fn new(meter: &'m Meter) -> Self {
        Self { meter, has_ended: false }
    }

    /// It has ended: as it did is counted by [`Meter::connected`] or [`Meter::connect_failed`].
    pub fn end(mut self) {
        self.has_ended = true;
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.meter.connect_failures.add_dropped();
        }
    }
}

//! One call of the store, in its own task, under its permit.

use crate::clock::monotonic;
use crate::gate::Permit;
use crate::stats::{Stats, StoreCall};
use hydra_api::StoreError;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

/// Starts a call. It runs to its end whoever waits for it, and the permit with it; a call that panics gives the
/// permit back too and counts as failed. There are never more such tasks than permits. What the store traces is a part
/// of `span`.
pub(crate) fn start<T: Send + 'static>(
    permit: Permit,
    stats: &Arc<Stats>,
    kind: StoreCall,
    span: Span,
    call: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> JoinHandle<Result<T, StoreError>> {
    stats.statements_started.fetch_add(1, Ordering::Relaxed);
    let ending = Ending {
        stats: stats.clone(),
        kind,
        started: monotonic(),
        failed: Some("panic"),
        span: span.clone(),
    };
    let task = async move {
        // Locals are dropped last to first, also by a panic: first the count, then the permit.
        let _permit = permit;
        let mut ending = ending;
        let answer = call.await;
        ending.failed = answer.as_ref().err().map(|error| error.kind().as_str());
        answer
    };
    tokio::spawn(task.instrument(span))
}

struct Ending {
    stats: Arc<Stats>,
    kind: StoreCall,
    started: Instant,
    failed: Option<&'static str>,
    span: Span,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let took = monotonic().saturating_duration_since(self.started);
        self.stats.latencies[self.kind as usize].note(took);
        if self.kind == StoreCall::Providers {
            self.stats.read_pace.note(took);
        }
        self.stats.statements_ended.fetch_add(1, Ordering::Relaxed);
        if let Some(cause) = self.failed {
            self.span.record("error.type", cause);
            self.span.record("otel.status_code", "ERROR");
            self.stats.failed[self.kind as usize].fetch_add(1, Ordering::Relaxed);
        }
    }
}

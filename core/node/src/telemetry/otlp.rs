//! Sends the spans of traced requests to a collector, by the OpenTelemetry protocol.
//!
//! A span that has ended goes into a bounded queue, without waiting. A thread of its own takes batches out of it and sends
//! them, each within a time; what finds the queue full, or cannot be sent, is dropped and counted. So a collector that is
//! slow, hangs or is gone costs spans, never the node.

mod count;
mod layer;
mod queue;
mod resource;
mod send;
mod target;

pub use count::Stats;
pub use layer::REQUESTS;
pub use target::{ExporterError, Target, Told};

use crate::config::Otlp;
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use queue::Queue;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Sends spans to a collector; its default sends nothing and costs nothing. Cheap to clone, all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Exporter(Option<Arc<Running>>);

#[derive(Debug)]
struct Running {
    target: Target,
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    stats: Arc<Stats>,
}

impl Exporter {
    /// Starts to send as the config and the standard variables `OTEL_…` of this process say; sends nothing if they name
    /// no collector. That the collector can be reached is not waited for.
    ///
    /// Needs no runtime, and may be called inside one.
    ///
    /// # Errors
    /// [`ExporterError`]
    pub fn start(config: &Otlp) -> Result<Self, ExporterError> {
        match Target::of(config)? {
            Some(target) => Self::to(target),
            None => Ok(Self::default()),
        }
    }

    fn to(target: Target) -> Result<Self, ExporterError> {
        let stats = Arc::new(Stats::default());
        let sender = send::Sender::start(&target, Arc::clone(&stats))?;
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Queue::start(sender, target.queue_len_max, Arc::clone(&stats)))
            // Which requests are traced is decided before there is a span.
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource::of_this_process())
            .build();
        let scope = InstrumentationScope::builder("hydra").with_version(env!("CARGO_PKG_VERSION")).build();
        let tracer = provider.tracer_with_scope(scope);
        Ok(Self(Some(Arc::new(Running { target, provider, tracer, stats }))))
    }

    /// Makes spans that are sent, such as those of a request that turned out to be slow only when it was over; `None` when
    /// nothing is sent.
    pub fn tracer(&self) -> Option<&SdkTracer> {
        self.0.as_deref().map(|running| &running.tracer)
    }

    /// The spans, counted; `None` when nothing is sent.
    pub fn stats(&self) -> Option<&Arc<Stats>> {
        self.0.as_deref().map(|running| &running.stats)
    }

    /// Where spans are sent; `None` when nothing is.
    pub fn target(&self) -> Option<&Target> {
        self.0.as_deref().map(|running| &running.target)
    }

    /// Sends what waits and ends, within a time: what could not be sent by then is lost, and counted as dropped.
    ///
    /// # Cancel safety
    /// May be dropped at any time: the end goes on by itself.
    pub async fn stop(&self, within: Duration) {
        let Some(running) = &self.0 else { return };
        let provider = running.provider.clone();
        // It waits on a thread for that: the one that sends may itself be waiting for the collector.
        let stopped = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(within));
        if let Ok(Ok(Err(cause))) = timeout(within, stopped).await {
            tracing::debug!(error = %cause, "the exporter of traces did not end in time");
        }
        let lost = running.stats.lose_waiting();
        if lost > 0 {
            tracing::warn!(lost, "spans could not be sent before the end");
        }
    }
}

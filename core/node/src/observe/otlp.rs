//! Exports the spans of traced requests to a collector over the OpenTelemetry protocol.
//!
//! A span that ends enters a bounded queue without waiting. A separate thread takes batches from the queue and sends each
//! within a time limit. Spans that find the queue full or cannot be sent are dropped and counted, so a collector that is
//! slow, hangs or is gone costs spans and never delays the node.

mod count;
mod layer;
mod percent;
mod queue;
mod resource;
mod send;
mod target;

pub use count::Stats;
pub use layer::REQUESTS;
pub use target::{ExporterError, SettingOrigin, Target};

use crate::config::Otlp;
use hydra_api::Causes;
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use queue::Queue;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Exports spans to a collector; the default exports nothing and costs nothing. Clones are cheap and share one exporter.
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
    /// Starts the export as set by the config and the standard variables `OTEL_…` of this process; exports nothing if they
    /// name no collector. It does not wait for the collector.
    ///
    /// Can be called inside and outside of a runtime.
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
            // The node decides which requests are traced before it creates a span.
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource::of_this_process())
            .build();
        let scope = InstrumentationScope::builder("hydra").with_version(env!("CARGO_PKG_VERSION")).build();
        let tracer = provider.tracer_with_scope(scope);
        Ok(Self(Some(Arc::new(Running { target, provider, tracer, stats }))))
    }

    /// Creates spans for export, such as those of a request that proves slow when it ends; `None` if nothing is exported.
    pub fn tracer(&self) -> Option<&SdkTracer> {
        self.0.as_deref().map(|running| &running.tracer)
    }

    /// The counts of spans; `None` if nothing is exported.
    pub fn stats(&self) -> Option<&Arc<Stats>> {
        self.0.as_deref().map(|running| &running.stats)
    }

    /// The collector; `None` if nothing is exported.
    pub fn target(&self) -> Option<&Target> {
        self.0.as_deref().map(|running| &running.target)
    }

    /// Sends the waiting spans and stops, within a time limit; spans that are not sent by then are counted as dropped.
    ///
    /// # Cancel safety
    /// The stop continues if the future is dropped.
    pub async fn stop(&self, within: Duration) {
        let Some(running) = &self.0 else { return };
        let provider = running.provider.clone();
        // It blocks a thread: the sending thread may wait for the collector.
        let stopped = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(within));
        if let Ok(Ok(Err(cause))) = timeout(within, stopped).await {
            tracing::debug!(error = %Causes(&cause), "the exporter of traces did not stop in time");
        }
        let lost = running.stats.lose_waiting();
        if lost > 0 {
            tracing::warn!(lost, "spans were not sent before the shutdown");
        }
    }
}

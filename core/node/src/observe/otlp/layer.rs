//! From `tracing` to the exporter: which spans are sent.

use super::Exporter;
use opentelemetry_sdk::trace::SdkTracer;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

/// The target of the spans of a traced request. Only these and the spans inside them are exported.
pub const REQUESTS: &str = hydra_engine::trace::TARGET;

impl Exporter {
    /// The layer that exports the spans of traced requests, for a `tracing_subscriber::registry()`: spans of [`REQUESTS`]
    /// and spans inside them, at INFO and above, and events inside them at WARN and above, as events of the span. The layer
    /// has its own filter, so it does not change what is logged, and callsites below INFO stay disabled. If nothing is
    /// exported, the layer enables nothing.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let layer = self.tracer().map(|tracer| {
            OpenTelemetryLayer::<S, SdkTracer>::new(tracer.clone())
                // OpenTelemetry's own current span is not used, and maintaining it costs time at every poll.
                .with_context_activation(false)
                .with_tracked_inactivity(false)
                .with_location(false)
                .with_threads(false)
                .with_target(false)
        });
        let wants = if layer.is_some() { Wants::Requests } else { Wants::Nothing };
        layer.with_filter(wants)
    }
}

/// The spans and events that the filter enables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// The spans of a traced request, and the spans and events inside them.
    Requests,
    Nothing,
}

impl<S> Filter<S> for Wants
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        // The context knows only those spans that this filter let through.
        *self == Self::Requests
            && fits(metadata)
            && (is_request(metadata) || context.lookup_current().is_some())
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        match (self, fits(metadata), is_request(metadata)) {
            (Self::Nothing, _, _) | (Self::Requests, false, _) => Interest::never(),
            (Self::Requests, true, true) => Interest::always(),
            (Self::Requests, true, false) => Interest::sometimes(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self {
            Self::Requests => LevelFilter::INFO,
            Self::Nothing => LevelFilter::OFF,
        })
    }
}

fn fits(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= if metadata.is_span() { Level::INFO } else { Level::WARN }
}

fn is_request(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == REQUESTS
}

//! The queue between the requests and the thread that sends.

use super::count::Stats;
use super::send::Sender;
use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanProcessor};
use std::sync::Arc;
use std::time::Duration;

/// The minimum time between two exports; without it the thread would poll the queue in a busy loop.
const DELAY_MIN: Duration = Duration::from_millis(10);

/// The queue of the SDK with a count of its places. The SDK also drops spans when it is full, but does not count them.
#[derive(Debug)]
pub(super) struct Queue {
    inner: BatchSpanProcessor,
    len_max: u64,
    stats: Arc<Stats>,
}

impl Queue {
    /// Allocates the queue and starts the thread that sends its spans.
    pub(super) fn start(sender: Sender, len_max: usize, stats: Arc<Stats>) -> Self {
        // The interval and the size of batches are the SDK's defaults, or those of its variables `OTEL_BSP_…`.
        let mut config = BatchConfigBuilder::default().with_max_queue_size(len_max);
        let delay = std::env::var("OTEL_BSP_SCHEDULE_DELAY").ok().and_then(|delay| delay.trim().parse().ok());
        if delay.map(Duration::from_millis).is_some_and(|delay| delay < DELAY_MIN) {
            config = config.with_scheduled_delay(DELAY_MIN);
        }
        let config = config.build();
        let inner = BatchSpanProcessor::builder(sender).with_batch_config(config).build();
        Self { inner, len_max: len_max as u64, stats }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.stats.enter(self.len_max) {
            self.inner.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

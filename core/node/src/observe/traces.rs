//! Selects the requests to trace: a random share of all, when they start; and those that were slow or degraded, when they
//! end.

use crate::config;
use hydra_api::Rung;
use hydra_engine::trace::{RPC_SYSTEM, method};
use hydra_engine::{Account, Ending, StoreCall, Watch};
use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};
use tokio::time::{MissedTickBehavior, interval};

/// Decides which requests are traced.
///
/// Sampled requests have live spans. For the others the engine reports how they went, and the spans of slow or degraded
/// ones are created when they end: it is not known at the start that a request will be slow.
#[derive(Debug)]
pub(crate) struct Traces {
    tracer: SdkTracer,
    /// A request is sampled if its random number is below this; all are if it is `None`.
    below: Option<u64>,
    slow: Option<Duration>,
    kept_per_second_max: u32,
    /// The number of requests that can still be kept in this second.
    left: AtomicU32,
    counts: Counts,
}

/// Counts of requests by how they were selected.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Sampled, background calls of the store included.
    sampled: AtomicU64,
    /// Kept because they were slow or degraded.
    kept: AtomicU64,
    /// Not kept because the limit per second was reached.
    skipped: AtomicU64,
}

impl Traces {
    /// Starts the selection, which lasts until the last reference is dropped. Call it in a tokio runtime.
    pub(crate) fn start(config: &config::Traces, tracer: SdkTracer) -> Arc<Self> {
        let traces = Arc::new(Self {
            tracer,
            // Rounding the share to 64 bits is precise enough.
            below: (config.ratio < 1.0).then_some((config.ratio * u64::MAX as f64) as u64),
            slow: (config.slow_ms > 0).then(|| Duration::from_millis(config.slow_ms.into())),
            kept_per_second_max: config.kept_per_second_max,
            left: AtomicU32::new(config.kept_per_second_max),
            counts: Counts::default(),
        });
        tokio::spawn(allow(Arc::downgrade(&traces)));
        traces
    }

    pub(crate) const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// True if a request was slow or degraded.
    fn is_notable(&self, account: &Account<'_>) -> bool {
        let slow = match (account.time, self.slow) {
            (Some((_, took)), Some(slow)) => took >= slow,
            (None, _) | (_, None) => false,
        };
        slow || is_degraded(account.rung, account.ending)
    }

    fn take(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// Creates the spans of a request that has just ended.
    fn export(&self, account: &Account<'_>) {
        let (now, ended) = (Instant::now(), SystemTime::now());
        // All times of one trace come from one clock: the monotonic clock gives their distance from now.
        let at = |moment: Instant| ended - now.saturating_duration_since(moment);
        let started = account.time.map_or(ended, |(started, _)| at(started));
        let mut request = self
            .tracer
            .span_builder(method(account.operation))
            .with_kind(SpanKind::Server)
            .with_start_time(started)
            .with_attributes(attributes(account))
            .start_with_context(&self.tracer, &Context::new());
        if let Some(call) = account.call {
            let above = Context::new().with_remote_span_context(request.span_context().clone());
            let operation = StoreCall::Providers.as_str();
            let mut store = self
                .tracer
                .span_builder(format!("{operation} {}", account.store))
                .with_kind(SpanKind::Client)
                .with_start_time(at(call.at))
                .with_attributes([
                    KeyValue::new("db.system.name", account.system.to_owned()),
                    KeyValue::new("db.operation.name", operation),
                    KeyValue::new("db.operation.batch.size", i64::from(call.keys)),
                    // The span ends with the request; the store may not have answered yet.
                    KeyValue::new("hydra.unanswered", call.ending.is_none()),
                ])
                .start_with_context(&self.tracer, &above);
            if call.ending == Some(Ending::StoreFailed) {
                store.set_attribute(KeyValue::new("error.type", Ending::StoreFailed.as_str()));
                store.set_status(Status::error(""));
            }
            store.end_with_timestamp(ended);
        }
        if account.ending == Ending::StoreFailed {
            request.set_status(Status::error(""));
        }
        request.end_with_timestamp(ended);
    }
}

impl Watch for Traces {
    fn traces(&self) -> bool {
        let taken = self.below.is_none_or(|below| rand::random::<u64>() < below);
        if taken {
            self.counts.sampled.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    fn ended(&self, account: &Account<'_>) {
        if !self.is_notable(account) {
            return;
        }
        if self.take() {
            self.counts.kept.fetch_add(1, Ordering::Relaxed);
            self.export(account);
        } else {
            self.counts.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Counts {
    /// Sampled requests, and background calls of the store.
    pub(crate) fn sampled(&self) -> u64 {
        self.sampled.load(Ordering::Relaxed)
    }

    /// Requests traced because they were slow or degraded.
    pub(crate) fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// Such requests that were not traced, because there were too many.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }
}

/// True if an idle node would have given the request a better answer.
fn is_degraded(rung: Rung, ending: Ending) -> bool {
    match ending {
        Ending::Served | Ending::NotKept => rung > Rung::Full,
        Ending::Known
        | Ending::Late
        | Ending::NoPermit
        | Ending::StoreFailed
        | Ending::Declined
        | Ending::Shed
        | Ending::QueueFull
        | Ending::KeyFull
        | Ending::NoRoom => true,
        // An invalid or outdated request, or one whose client is gone.
        Ending::Refused | Ending::Outdated | Ending::Abandoned => false,
    }
}

/// The attributes of a request, with the same names as in a live span.
fn attributes(account: &Account<'_>) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("rpc.system.name", RPC_SYSTEM),
        KeyValue::new("rpc.method", method(account.operation)),
        KeyValue::new("hydra.head", i64::from(account.head)),
        KeyValue::new("hydra.rung", account.rung.as_str()),
        KeyValue::new("hydra.outcome", account.ending.as_str()),
    ];
    let mut add = |key, value: Option<&'static str>| {
        attributes.extend(value.map(|value| KeyValue::new(key, value)));
    };
    add("hydra.cache", account.cache());
    add("hydra.source", account.source.map(|source| source.as_str()));
    add("error.type", (account.ending == Ending::StoreFailed).then(|| account.ending.as_str()));
    if let Some(judged) = account.judged {
        add("hydra.verdict", Some(judged.word()));
        attributes.extend(judged.reason.map(|reason| KeyValue::new("hydra.reason", reason.to_owned())));
        attributes.extend(judged.policy.map(|policy| KeyValue::new("hydra.policy", policy.to_owned())));
    }
    attributes
}

/// Renews the limit every second, until the last reference is dropped.
async fn allow(traces: Weak<Traces>) {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        let Some(traces) = traces.upgrade() else { return };
        traces.left.store(traces.kept_per_second_max, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;

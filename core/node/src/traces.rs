//! Which requests are traced: a part of them by chance, from the beginning; and those that were slow or served
//! degraded, when they have ended.

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
/// Those taken by chance have live spans. For the others the engine tells how they went, and the spans of those worth
/// keeping are made afterwards: nobody knows of a request that it will be slow.
#[derive(Debug)]
pub(crate) struct Traces {
    tracer: SdkTracer,
    /// Of all numbers, those below are taken; all when there is nothing.
    below: Option<u64>,
    slow: Option<Duration>,
    kept_per_second_max: u32,
    /// How many more may be kept until the second is over.
    left: AtomicU32,
    counts: Counts,
}

/// What has become of requests that were worth a trace.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Taken by chance, background calls of the store too.
    sampled: AtomicU64,
    /// Kept because they were slow or degraded.
    kept: AtomicU64,
    /// Not kept because there were too many.
    skipped: AtomicU64,
}

impl Traces {
    /// Decides as the config says, for as long as it is held. To be called in a tokio runtime.
    pub(crate) fn start(config: &config::Traces, tracer: SdkTracer) -> Arc<Self> {
        let traces = Arc::new(Self {
            tracer,
            // The nearest number of 64 bits is near enough.
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

    /// Whether a request is worth keeping whatever chance says.
    fn is_telling(&self, account: &Account<'_>) -> bool {
        let slow = match (account.time, self.slow) {
            (Some((_, took)), Some(slow)) => took >= slow,
            (None, _) | (_, None) => false,
        };
        slow || is_degraded(account.rung, account.ending)
    }

    fn take(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// Makes the spans of a request that has just ended.
    fn tell(&self, account: &Account<'_>) {
        let (now, ended) = (Instant::now(), SystemTime::now());
        // Times of one trace come from one clock: the difference to now is what the steady clock says.
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
                    KeyValue::new("db.system.name", account.store.to_owned()),
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
        if !self.is_telling(account) {
            return;
        }
        if self.take() {
            self.counts.kept.fetch_add(1, Ordering::Relaxed);
            self.tell(account);
        } else {
            self.counts.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Counts {
    /// Requests traced by chance, and background calls of the store.
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

/// Whether a request got less than a node with nothing else to do would have given it.
fn is_degraded(rung: Rung, ending: Ending) -> bool {
    match ending {
        Ending::Served | Ending::NotKept => rung > Rung::Full,
        Ending::Known
        | Ending::Late
        | Ending::NoPermit
        | Ending::StoreFailed
        | Ending::Declined
        | Ending::Shed
        | Ending::QueueFull => true,
        // It was wrong, or is gone.
        Ending::Refused | Ending::Abandoned => false,
    }
}

/// The attributes of a request, by the names that its live span would have.
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

/// Lets some more be kept every second, until nobody holds them any more.
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

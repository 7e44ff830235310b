//! The store behind its gate: starts calls, and acts on how they end.

use super::breaker::Breaker;
use super::gate::{Gate, Lane, Permit};
use super::statement::{Failure, cause_of};
use crate::clock::monotonic;
use crate::config::{Capacity, Limits};
use crate::observe::{Reports, Stats, StoreCall, Tracer, shortened, trace};
use crate::sync::{add, lock};
use hydra_api::{Estimate, Expiry, ProviderStore, StoreError, StoreErrorKind, StoreProfile, ValueEstimate};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

/// The part of its permits that a store gets back at a time after it was overloaded.
const GROWTH_PART: u32 = 8;
/// For how long a store that is overloaded is given fewer permits, at least and at most.
const RELIEF: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// The store, its gate and its breaker.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) store: Arc<dyn ProviderStore>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) breaker: Breaker,
    pub(crate) reports: Reports,
    pub(crate) stats: Arc<Stats>,
    pub(crate) tracer: Tracer,
    permits: Mutex<Permits>,
    runtime: Handle,
}

/// How many permits there are, and why not more.
#[derive(Debug)]
struct Permits {
    capacity: Capacity,
    /// What the store is given while it is overloaded.
    allowed: u32,
    /// When it is given one more.
    relief_until: Option<Instant>,
    /// When the permits were last halved: the calls of one burst halve them once.
    halved_at: Option<Instant>,
}

impl Backend {
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn new(
        store: Arc<dyn ProviderStore>,
        tracer: Tracer,
        stats: Arc<Stats>,
        limits: &Limits,
    ) -> Arc<Self> {
        let profile = profile(&*store).unwrap_or(StoreProfile::builder().build());
        tracer.learn(&profile);
        let capacity = limits.capacity(&profile);
        Arc::new(Self {
            store,
            gate: Gate::new(capacity.permits, capacity.reads),
            breaker: Breaker::new(limits.breaker_failures, limits.probe_interval),
            reports: Reports::new(profile.sharing),
            stats,
            tracer,
            permits: Mutex::new(Permits {
                capacity,
                allowed: capacity.permits,
                relief_until: None,
                halved_at: None,
            }),
            runtime: Handle::current(),
        })
    }

    /// Who removes expired records.
    pub(crate) fn expiry(&self) -> Expiry {
        profile(&*self.store).map_or(Expiry::ByPurge, |profile| profile.expiry)
    }

    /// Whether the store keeps value records; not when it panics instead.
    pub(crate) fn keeps_values(&self) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.store.values().is_some())).unwrap_or_default()
    }

    /// What the store serves at a time.
    pub(crate) fn capacity(&self) -> Capacity {
        lock(&self.permits).capacity
    }

    /// Starts a call. It runs to its end whoever waits for it, and the permit with it; a call that panics gives the
    /// permit back too and counts as failed. There are never more such tasks than permits. `then` is called with the
    /// outcome after the permit has been passed on. What the store traces is a part of `span`.
    pub(crate) fn start<T: Send + 'static, U: Send + 'static>(
        self: &Arc<Self>,
        permit: Permit,
        call: StoreCall,
        span: Span,
        running: impl Future<Output = Result<T, Failure>> + Send + 'static,
        then: impl FnOnce(Result<T, Failure>) -> U + Send + 'static,
    ) -> JoinHandle<U> {
        self.stats.begins(call);
        let in_flight = InFlight {
            backend: self.clone(),
            call,
            started: monotonic(),
            span: span.clone(),
            permit: Some(permit),
        };
        let task = async move {
            // Locals are dropped last to first, also by a panic: first the permit, then what `then` holds.
            let then = then;
            let in_flight = in_flight;
            let outcome = running.await;
            in_flight.end(outcome.as_ref().err());
            then(outcome)
        };
        self.runtime.spawn(task.instrument(span))
    }

    /// Lets one call pass to a store that is paused; whether one did, or the store is not paused any more. Otherwise the
    /// next to come passes.
    pub(crate) fn probe(self: &Arc<Self>, lane: Lane) -> bool {
        !self.breaker.is_open(lane) || self.gate.probe(lane)
    }

    /// Lets writes start again without knowing that they succeed.
    pub(crate) fn resume_writes(self: &Arc<Self>, lane: Lane) {
        if self.breaker.succeeded(lane, &self.gate) {
            self.gate.advance();
            tracing::info!(lane = lane.as_str(), "writes to the store start again");
        }
    }

    /// Asks for an estimate, and keeps it; true if the store is unavailable.
    pub(crate) fn estimate(self: &Arc<Self>, permit: Permit) -> JoinHandle<bool> {
        let (store, stats) = (self.store.clone(), self.stats.clone());
        let span = trace::background(&self.tracer, StoreCall::Estimate, 0);
        let call = async move { Ok(store.estimate().await?) };
        self.start(permit, StoreCall::Estimate, span, call, move |estimate: Result<Estimate, Failure>| {
            match estimate {
                Ok(estimate) => {
                    *lock(&stats.estimate) = Some((estimate, monotonic()));
                    false
                }
                Err(failure) => failure.kind() == Some(StoreErrorKind::Unavailable),
            }
        })
    }

    /// Asks for an estimate of the value records, and keeps it; how many bytes they have, if the store said it.
    pub(crate) fn estimate_values(self: &Arc<Self>, permit: Permit) -> JoinHandle<Option<u64>> {
        let (store, stats) = (self.store.clone(), self.stats.clone());
        let span = trace::background(&self.tracer, StoreCall::EstimateValues, 0);
        let call = async move {
            let values = store.values().ok_or_else(|| StoreError::not_supported("values"))?;
            Ok(values.estimate_values().await?)
        };
        let kept = move |estimate: Result<ValueEstimate, Failure>| {
            let estimate = estimate.ok()?;
            *lock(&stats.value_estimate) = Some((estimate, monotonic()));
            Some(estimate.bytes)
        };
        self.start(permit, StoreCall::EstimateValues, span, call, kept)
    }

    /// Takes up a changed capacity of the store, and gives a store that was overloaded a permit more after a while.
    pub(crate) fn tick(&self, limits: &Limits, now: Instant) {
        let profile = profile(&*self.store);
        if let Some(profile) = &profile {
            self.tracer.learn(profile);
        }
        let mut permits = lock(&self.permits);
        let capacity = profile.map_or(permits.capacity, |profile| limits.capacity(&profile));
        let grows = permits.relief_until.is_some_and(|until| now >= until);
        if capacity == permits.capacity && !grows {
            return;
        }
        if permits.relief_until.is_none() {
            permits.allowed = capacity.permits;
        } else if grows {
            permits.allowed += (permits.capacity.permits / GROWTH_PART).max(1);
            permits.relief_until = Some(now + RELIEF[0]);
        }
        if permits.allowed >= capacity.permits {
            permits.allowed = capacity.permits;
            permits.relief_until = None;
        }
        permits.capacity = capacity;
        self.apply(permits);
    }

    /// Gives the gate as many permits as there are now. Calls start when the lock is let go of: they ask for the capacity.
    fn apply(&self, permits: MutexGuard<'_, Permits>) {
        self.gate.set_limit(permits.allowed, permits.capacity.reads.min(permits.allowed));
        drop(permits);
        self.gate.advance();
    }

    /// The store answered a call, but could say nothing of some keys or records: what it says of them is acted on as if the
    /// whole call had failed so, but for the breaker.
    pub(crate) fn failed_in_part(&self, call: StoreCall, kind: StoreErrorKind) {
        self.reports.failed_in_part(call, kind, cause_of(&*self.store));
        if kind == StoreErrorKind::Overloaded {
            self.relieve(None, monotonic());
        }
    }

    /// The store says that it is at its limit: half of the permits for a while.
    fn relieve(&self, pause: Option<Duration>, now: Instant) {
        let mut permits = lock(&self.permits);
        if permits.halved_at.is_none_or(|at| now.saturating_duration_since(at) >= RELIEF[0]) {
            permits.allowed = (permits.allowed / 2).max(1);
            permits.halved_at = Some(now);
        }
        let pause = pause.unwrap_or_default().clamp(RELIEF[0], RELIEF[1]);
        permits.relief_until = permits.relief_until.max(Some(now + pause));
        self.apply(permits);
    }

    fn ended(&self, call: StoreCall, failure: Option<&Failure>) {
        let lane = lane(call);
        let Some(failure) = failure else {
            self.reports.succeeded(call);
            // A store may close without asking its server.
            if call != StoreCall::Close {
                self.answered(lane);
            }
            return;
        };
        add(self.stats.failures(call, failure.kind()), 1);
        let (because, now) = (shortened(failure.to_string()), monotonic());
        match failure {
            Failure::Broke(how) => self.reports.broke(call, (*how).to_owned()),
            Failure::Store(error) | Failure::Unknown(error, _) => self.reports.failed(call, error),
        }
        // Too much for it with a single call at a time: it needs a pause.
        let has_more = failure.kind() == Some(StoreErrorKind::Overloaded) && lock(&self.permits).allowed > 1;
        if !has_more && self.breaker.failed(lane, failure, &because, now, &self.gate) {
            let lane = lane.as_str();
            tracing::warn!(lane, error = %because, "the store is unavailable: its calls are paused except for single probes");
        }
        match failure.kind() {
            Some(StoreErrorKind::Overloaded) => self.relieve(failure.pause(), now),
            // It has answered, and only what it was given is wrong.
            Some(StoreErrorKind::Refused) => self.answered(lane),
            _ => {}
        }
    }

    fn answered(&self, lane: Lane) {
        if self.breaker.succeeded(lane, &self.gate) {
            self.gate.advance();
            tracing::info!(lane = lane.as_str(), "the store is available again");
        }
    }
}

/// Which calls are paused together.
const fn lane(call: StoreCall) -> Lane {
    match call {
        StoreCall::Providers | StoreCall::Estimate => Lane::Reads,
        StoreCall::Insert | StoreCall::PurgeExpired | StoreCall::Close => Lane::Writes,
        StoreCall::GetValues | StoreCall::EstimateValues => Lane::ValueReads,
        StoreCall::PutValues | StoreCall::PurgeValues => Lane::ValueWrites,
    }
}

/// What the store says of itself; nothing when it panics instead.
fn profile(store: &dyn ProviderStore) -> Option<StoreProfile> {
    catch_unwind(AssertUnwindSafe(|| store.profile())).ok()
}

/// A call that runs. Dropped before its end, it has panicked.
struct InFlight {
    backend: Arc<Backend>,
    call: StoreCall,
    started: Instant,
    span: Span,
    permit: Option<Permit>,
}

impl InFlight {
    fn end(mut self, failure: Option<&Failure>) {
        self.settle(failure);
    }

    fn settle(&mut self, failure: Option<&Failure>) {
        let Some(permit) = self.permit.take() else { return };
        let took = monotonic().saturating_duration_since(self.started);
        let stats = &self.backend.stats;
        stats.ends(self.call, took);
        if let Some(failure) = failure {
            self.span.record("error.type", failure.as_str());
            self.span.record("otel.status_code", "ERROR");
        }
        self.backend.ended(self.call, failure);
        add(&stats.statements_ended, 1);
        drop(permit);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return self.settle(Some(&Failure::PANICKED));
        }
        // The runtime shuts down with the call under way: that is nothing the store has done.
        if let Some(permit) = self.permit.take() {
            add(&self.backend.stats.statements_ended, 1);
            drop(permit);
        }
    }
}

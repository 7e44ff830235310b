//! The store behind its gate: starts calls, and acts on how they end.

use super::breaker::Breaker;
use super::gate::{Gate, Lane, Permit};
use super::statement::{Failure, cause_of};
use crate::clock::monotonic;
use crate::config::{Capacity, Limits};
use crate::load::{Knee, PermitState, Settings, Tick, Work};
use crate::observe::{Reports, Stats, StoreCall, Tracer, shortened, trace};
use crate::sync::{add, lock, read};
use hydra_api::admission::Level;
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
    /// What the store is given at most: fewer than it serves while it is overloaded.
    allowed: u32,
    /// What the controller gives it; none if the permits are fixed.
    adaptive: Option<Adaptive>,
    /// When it is given one more.
    relief_until: Option<Instant>,
    /// When the permits were last halved: the calls of one burst halve them once.
    halved_at: Option<Instant>,
}

/// The controller, and what was counted at its last tick.
#[derive(Debug)]
struct Adaptive {
    knee: Knee,
    limit: u32,
    ended: u64,
    work: [Work; 2],
    denied: u64,
}

/// The time since the last tick, and the pressure in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elapsed {
    pub(crate) now: Instant,
    pub(crate) elapsed: Duration,
    /// Announcements that wait.
    pub(crate) write_queue: Level,
}

/// A write queue that is filled to this part, in percent, shows that writes come faster than they are written.
const PRESSED_PERCENT: u32 = 25;

impl Permits {
    /// Takes up what the store serves now, and gives it a permit more if it is time.
    fn follow(&mut self, capacity: Capacity, now: Instant) {
        if self.relief_until.is_none() {
            self.allowed = capacity.permits;
        } else if self.relief_until.is_some_and(|until| now >= until) {
            self.allowed += (self.capacity.permits / GROWTH_PART).max(1);
            self.relief_until = Some(now + RELIEF[0]);
        }
        if self.allowed >= capacity.permits {
            self.allowed = capacity.permits;
            self.relief_until = None;
        }
        self.capacity = capacity;
    }

    fn limit(&self) -> u32 {
        self.adaptive.as_ref().map_or(self.allowed, |adaptive| adaptive.limit.min(self.allowed))
    }
}

impl Adaptive {
    /// Tells the controller what there was since its last tick.
    fn tick(&mut self, stats: &Stats, bound: u32, gate: (u32, bool), elapsed: &Elapsed) {
        let (ended, work) = (read(&stats.statements_ended), [0, 1].map(|lane| stats.work[lane].read()));
        let denied = stats.wants.sum(|wants| &wants.denied) + read(&stats.values.denied);
        let tick = Tick {
            elapsed: elapsed.elapsed,
            bound,
            in_flight: gate.0,
            ended: ended.saturating_sub(self.ended),
            work: [0, 1].map(|lane| work[lane].since(&self.work[lane])),
            limited: gate.1,
            pressed: denied > self.denied || elapsed.write_queue.percent() >= PRESSED_PERCENT,
        };
        (self.ended, self.work, self.denied) = (ended, work, denied);
        self.limit = self.knee.tick(&tick);
    }
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
        let adaptive = limits.permits.as_ref().map(|permits| Adaptive {
            knee: Knee::new(Settings::of(permits)),
            limit: permits.start.clamp(1, capacity.permits),
            ended: 0,
            work: Default::default(),
            denied: 0,
        });
        let permits =
            Permits { capacity, allowed: capacity.permits, adaptive, relief_until: None, halved_at: None };
        Arc::new(Self {
            store,
            gate: Gate::new(permits.limit(), capacity.reads),
            breaker: Breaker::new(limits.breaker_failures, limits.probe_interval),
            reports: Reports::new(profile.sharing),
            stats,
            tracer,
            permits: Mutex::new(permits),
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

    /// The bound of the permits at the moment, and why there are as many as there are.
    pub(crate) fn permits(&self) -> (u32, PermitState) {
        let permits = lock(&self.permits);
        (permits.allowed, permits.adaptive.as_ref().map_or(PermitState::Held, |it| it.knee.state()))
    }

    /// Starts a call with so many keys or records. It runs to its end whoever waits for it, and the permit with it; a call that panics gives the
    /// permit back too and counts as failed. There are never more such tasks than permits. `then` is called with the
    /// outcome after the permit has been passed on. What the store traces is a part of `span`.
    pub(crate) fn start<T: Send + 'static, U: Send + 'static>(
        self: &Arc<Self>,
        permit: Permit,
        call: StoreCall,
        items: usize,
        span: Span,
        running: impl Future<Output = Result<T, Failure>> + Send + 'static,
        then: impl FnOnce(Result<T, Failure>) -> U + Send + 'static,
    ) -> JoinHandle<U> {
        self.stats.begins(call);
        let in_flight = InFlight {
            backend: self.clone(),
            call,
            items,
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
        self.start(permit, StoreCall::Estimate, 0, span, call, move |estimate: Result<Estimate, Failure>| {
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
        self.start(permit, StoreCall::EstimateValues, 0, span, call, kept)
    }

    /// Takes up a changed capacity of the store, gives a store that was overloaded a permit more after a while, and has the
    /// controller say how many there are.
    pub(crate) fn tick(&self, limits: &Limits, elapsed: &Elapsed) {
        let profile = profile(&*self.store);
        if let Some(profile) = &profile {
            self.tracer.learn(profile);
        }
        let gate = (self.gate.in_flight().used, self.gate.take_limited());
        let mut permits = lock(&self.permits);
        let before = (permits.limit(), permits.capacity);
        let capacity = profile.map_or(permits.capacity, |profile| limits.capacity(&profile));
        permits.follow(capacity, elapsed.now);
        if let Some(mut adaptive) = permits.adaptive.take() {
            adaptive.tick(&self.stats, permits.allowed, gate, elapsed);
            permits.adaptive = Some(adaptive);
        }
        if before != (permits.limit(), permits.capacity) {
            self.apply(permits);
        }
    }

    /// From now on only the last calls start: with as many permits as there may be, also if others hang.
    pub(crate) fn close_gate(&self) {
        let permits = lock(&self.permits);
        self.gate.set_limit(permits.allowed, permits.capacity.reads);
        drop(permits);
        self.gate.close();
    }

    /// Gives the gate as many permits as there are now. Calls start when the lock is let go of: they ask for the capacity.
    fn apply(&self, permits: MutexGuard<'_, Permits>) {
        self.gate.set_limit(permits.limit(), permits.capacity.reads);
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

/// The lane whose throughput a call is a part of: purges and estimates have none.
const fn worked_in(call: StoreCall) -> Option<Lane> {
    match call {
        StoreCall::Providers | StoreCall::GetValues => Some(Lane::Reads),
        StoreCall::Insert | StoreCall::PutValues => Some(Lane::Writes),
        StoreCall::Estimate
        | StoreCall::EstimateValues
        | StoreCall::PurgeExpired
        | StoreCall::PurgeValues
        | StoreCall::Close => None,
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
    items: usize,
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
        if let Some(lane) = worked_in(self.call) {
            stats.work[lane as usize].record(self.items, took, failure.is_none());
        }
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

//! What an engine does beside answering: flushing, purging, estimating, probing, watching its own load.

use crate::load::{Signal, TICK};
use crate::observe::{Stats, StoreCall, trace};
use crate::parts::Parts;
use crate::store::{Elapsed, Failure, Lane, Permit};
use crate::sync::add;
use crate::values;
use crate::write::flush;
use hydra_api::{Expiry, PurgeProgress, Purged, Rung, StoreError, UnixSeconds};
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// The pause before a task that panicked is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// The pause between two steps of a purge, so that it never takes more than a small part of the store.
const PURGE_PAUSE: Duration = Duration::from_millis(50);

/// For how long a purge rests at most because the node is degraded: a table that only grows fills its disk.
const PURGE_REST_MAX: Duration = Duration::from_secs(3_600);

/// After this time a purge that is not done lets the other one, that of value records or of provider records, have its turn.
const PURGE_TURN_MAX: Duration = Duration::from_secs(600);

/// The pause between two steps of a purge on a degraded node.
const PURGE_PAUSE_DEGRADED: Duration = Duration::from_secs(1);

/// The background tasks. They end with the engine.
#[derive(Debug)]
pub(crate) struct Background {
    flushers: Mutex<Vec<JoinHandle<()>>>,
    all: Vec<AbortHandle>,
}

/// The pause after an estimate that found the store unavailable.
const ESTIMATE_PAUSE_UNAVAILABLE: Duration = Duration::from_secs(2);

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Background {
    pub(crate) fn start(parts: &Arc<Parts>) -> Self {
        let flusher = supervise(parts, "flush", |parts| Box::pin(flush(parts.writer.clone())));
        let values = supervise(parts, "flush_values", |parts| Box::pin(values::flush(parts.values.clone())));
        let others = [
            supervise(parts, "look", |parts| Box::pin(values::look(parts.values.clone()))),
            supervise(parts, "load", |parts| Box::pin(watch_load(parts))),
            supervise(parts, "probe", |parts| Box::pin(probe(parts))),
            supervise(parts, "purge", |parts| Box::pin(purge(parts))),
            supervise(parts, "estimate", |parts| Box::pin(estimate(parts))),
        ];
        let all = others.iter().chain([&flusher, &values]).map(JoinHandle::abort_handle).collect();
        Self { flushers: Mutex::new(vec![flusher, values]), all }
    }

    /// The tasks that write announcements and value records, to be waited for, unless they were. They are held by one who closes the
    /// engine, and waited for again by the next if that one goes away.
    pub(crate) async fn flushers(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.flushers.lock().await
    }

    /// Whether none of them has ended.
    pub(crate) fn runs(&self) -> bool {
        !self.all.iter().any(AbortHandle::is_finished)
    }

    pub(crate) fn stop(&self) {
        self.all.iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs a task, and starts it again when it panics. Its panic is counted, and shown by the panic hook.
fn supervise(parts: &Arc<Parts>, name: &'static str, task: fn(Arc<Parts>) -> Running) -> JoinHandle<()> {
    let parts = parts.clone();
    tokio::spawn(async move {
        loop {
            let run = Supervised(tokio::spawn(task(parts.clone())));
            if !run.panicked().await {
                return;
            }
            add(&parts.stats.background_panics, 1);
            tracing::error!(task = name, "a background task of the engine panicked and is started again");
            sleep(RESTART_PAUSE).await;
        }
    })
}

/// A task that ends with its supervisor.
struct Supervised(JoinHandle<()>);

impl Supervised {
    async fn panicked(mut self) -> bool {
        (&mut self.0).await.is_err_and(|error| error.is_panic())
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn watch_load(parts: Arc<Parts>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        ticks.tick().await;
        let now = Instant::now();
        parts.clock.sync();
        let (elapsed, write_queue) = (now - last, parts.queue.open_level());
        parts.backend.tick(&parts.limits, &Elapsed { now: now.into_std(), elapsed, write_queue });
        for change in parts.ladder.tick(elapsed, &parts.pulse()) {
            let (lane, before, rung, because) = (change.lane, change.before, change.now, change.because);
            let effect = change.effect;
            if rung > before {
                tracing::warn!(lane, %before, %rung, because, effect, "the node degrades");
            } else if rung != Rung::Full && because != Signal::Calm.as_str() {
                tracing::info!(lane, %before, %rung, because, effect, "the node degrades less");
            } else {
                tracing::info!(lane, %before, %rung, because, effect, "the node recovers");
            }
        }
        parts.record_tick();
        last = now;
    }
}

/// Asks a paused store, one call at a time, whether it answers again; each lane at its own pace.
async fn probe(parts: Arc<Parts>) {
    let backend = &parts.backend;
    loop {
        let lane = backend.breaker.due().await;
        if !backend.probe(lane) {
            probe_idle(&parts, lane);
        }
    }
}

/// Asks a paused store something of its own accord: no call waits that would show whether it answers again, and none may
/// come for long.
fn probe_idle(parts: &Parts, lane: Lane) {
    let backend = &parts.backend;
    let waits = match lane {
        Lane::Writes => parts.queue.level().used,
        Lane::ValueWrites => parts.values.unwritten(),
        Lane::Reads | Lane::ValueReads => 0,
    };
    if waits > 0 {
        // The next try of these is the probe: a store that purges may still take no record.
        return;
    }
    // A store that is away as a whole is asked once: no call for value records waits, and they are asked for when it is back.
    let is_away = match lane {
        Lane::ValueReads => backend.breaker.is_open(Lane::Reads),
        Lane::ValueWrites => backend.breaker.is_open(Lane::Writes),
        Lane::Reads | Lane::Writes => false,
    };
    if is_away {
        return;
    }
    let is_write = matches!(lane, Lane::Writes | Lane::ValueWrites);
    if is_write && backend.expiry() == Expiry::ByItself {
        // Nothing but an insert would tell, and there is none to be made.
        return backend.resume_writes(lane);
    }
    let Some(permit) = backend.gate.try_acquire(lane) else { return };
    // What they bring is noted where they end.
    match lane {
        // A store that can be counted may not be readable, so the probe is a read if one has failed.
        Lane::Reads => match parts.reader.probe(permit) {
            Ok(()) => {}
            Err(permit) => drop(backend.estimate(permit)),
        },
        Lane::Writes => drop(purge_call(parts, permit)),
        Lane::ValueReads => match parts.values.probe(permit) {
            Ok(()) => {}
            Err(permit) => drop(backend.estimate_values(permit)),
        },
        Lane::ValueWrites => drop(values_call(parts, permit)),
    }
}

async fn purge(parts: Arc<Parts>) {
    let mut rests_since = Instant::now();
    loop {
        sleep(parts.limits.purge_interval).await;
        // Both in turns, each for a while, until neither has more.
        loop {
            let rests_for = rests_since.elapsed();
            let is_done = purge_providers(&parts, rests_for, &mut rests_since).await;
            if is_done & purge_values(&parts, rests_for).await {
                break;
            }
        }
    }
}

/// Purges the provider records for a while; false if there may be more.
async fn purge_providers(parts: &Parts, rests_for: Duration, rests_since: &mut Instant) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PURGE_TURN_MAX {
        let Some(permit) = purge_permit(parts, Lane::Writes, rests_for).await else { return true };
        match purge_call(parts, permit).await.ok().flatten() {
            Some(PurgeProgress::More) => purge_pause(parts).await,
            Some(_) => {
                *rests_since = Instant::now();
                return true;
            }
            // After a failure the next step comes with the next round.
            None => return true,
        }
    }
    false
}

async fn purge_pause(parts: &Parts) {
    let degraded = parts.ladder.rung() > Rung::Short;
    sleep(if degraded { PURGE_PAUSE_DEGRADED } else { PURGE_PAUSE }).await;
}

/// Purges the value records for a while, if the store keeps any; false if there may be more.
async fn purge_values(parts: &Parts, rests_for: Duration) -> bool {
    let begun = Instant::now();
    while parts.values.are_kept() && begun.elapsed() < PURGE_TURN_MAX {
        let Some(permit) = purge_permit(parts, Lane::ValueWrites, rests_for).await else { return true };
        if values_call(parts, permit).await.ok().flatten() != Some(PurgeProgress::More) {
            return true;
        }
        purge_pause(parts).await;
    }
    !parts.values.are_kept()
}

/// One step under this permit; nothing if it fails.
fn values_call(parts: &Parts, permit: Permit) -> JoinHandle<Option<PurgeProgress>> {
    let (backend, stats, limit) = (&parts.backend, parts.stats.clone(), parts.limits.purge_len);
    let (store, now) = (backend.store.clone(), parts.clock.sure_date());
    let span = trace::background(&backend.tracer, StoreCall::PurgeValues, 0);
    let call = async move {
        let values = store.values().ok_or_else(|| StoreError::not_supported("values"))?;
        Ok(values.purge_values(now, limit).await?)
    };
    backend.start(permit, StoreCall::PurgeValues, 0, span, call, move |step: Result<Purged, Failure>| {
        purged(&stats, step, limit)
    })
}

/// Counts a step of a purge.
fn purged(stats: &Stats, step: Result<Purged, Failure>, limit: NonZeroU32) -> Option<PurgeProgress> {
    let Purged { removed, progress, .. } = step.ok()?;
    add(&stats.purged, removed.min(limit.get().into()));
    Some(progress)
}

/// The bound of what value records take in all goes by this, so a node that is degraded makes it as well.
async fn estimate_values(parts: &Parts) {
    let backend = &parts.backend;
    if parts.writer.is_closing() || !parts.values.are_kept() {
        return;
    }
    let permit = backend.gate.acquire(Lane::ValueReads).await;
    if let Some(bytes) = backend.estimate_values(permit).await.ok().flatten() {
        parts.values.record_bytes(bytes);
    }
}

/// A permit for a step, if the node's rung allows one.
async fn purge_permit(parts: &Parts, lane: Lane, rests_for: Duration) -> Option<Permit> {
    let backend = &parts.backend;
    // A purge that a paused store obeys would count as its answer to writes.
    let is_paused = || backend.breaker.is_open(lane);
    if parts.writer.is_closing() || backend.expiry() == Expiry::ByItself || is_paused() {
        return None;
    }
    let permit = match parts.ladder.rung() {
        Rung::Full => backend.gate.acquire(lane).await,
        Rung::Short => backend.gate.try_acquire(lane)?,
        _ if rests_for < PURGE_REST_MAX => return None,
        _ => backend.gate.acquire(lane).await,
    };
    // It may have been paused meanwhile, and this the permit of its probe.
    (!is_paused()).then_some(permit)
}

/// One step under this permit; nothing if it fails.
fn purge_call(parts: &Parts, permit: Permit) -> JoinHandle<Option<PurgeProgress>> {
    let (backend, stats, limit) = (&parts.backend, parts.stats.clone(), parts.limits.purge_len);
    let (store, now) = (backend.store.clone(), parts.clock.sure_date());
    let latest = parts.clock.latest_date().map(|latest| latest.saturating_add(parts.limits.record_ttl));
    // The date of an earlier purge says nothing of a clock that was set since.
    let latest = latest.unwrap_or(UnixSeconds(u32::MAX));
    let span = trace::background(&backend.tracer, StoreCall::PurgeExpired, 0);
    let call = async move {
        // Here, so that a panic counts as one of the call.
        store.expire_by(latest);
        Ok(store.purge_expired(now, limit).await?)
    };
    backend.start(permit, StoreCall::PurgeExpired, 0, span, call, move |step: Result<Purged, Failure>| {
        purged(&stats, step, limit)
    })
}

async fn estimate(parts: Arc<Parts>) {
    let backend = &parts.backend;
    loop {
        let mut is_unavailable = false;
        if !parts.writer.is_closing() && parts.ladder.rung() == Rung::Full {
            let permit = backend.gate.acquire(Lane::Reads).await;
            // A panic of the store is counted where it happens.
            is_unavailable = backend.estimate(permit).await.unwrap_or_default();
        }
        // None of a store that is away: it would say nothing of the calls that are paused.
        if !is_unavailable && parts.ladder.rung() <= Rung::Short {
            estimate_values(&parts).await;
        }
        // On an idle node nothing else finds out that the store is away: the estimate is repeated until reads are paused.
        let interval = parts.limits.estimate_interval;
        sleep(match is_unavailable && !backend.breaker.is_open(Lane::Reads) {
            true => interval.min(ESTIMATE_PAUSE_UNAVAILABLE),
            false => interval,
        })
        .await;
    }
}

//! What the desk does beside answering: flushing, purging, estimating, watching its own load.

use crate::core::Core;
use crate::ladder::TICK;
use crate::stats::StoreCall;
use crate::{flusher, lock, statement, trace};
use hydra_api::{PurgeProgress, Rung};
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// The pause before a chore that panicked is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// The pause between two steps of a purge, so that it never takes more than a small part of the store.
const PURGE_PAUSE: Duration = Duration::from_millis(50);

/// The tasks of the chores. They end with the desk.
#[derive(Debug)]
pub(crate) struct Chores {
    flusher: Mutex<Option<JoinHandle<()>>>,
    all: Vec<AbortHandle>,
}

impl Chores {
    pub(crate) fn start(core: &Arc<Core>) -> Self {
        let flusher = supervise(core, "flush", flusher::run);
        let others = [
            supervise(core, "ladder", watch_load),
            supervise(core, "purge", purge),
            supervise(core, "estimate", estimate),
        ];
        let all = others.iter().chain([&flusher]).map(JoinHandle::abort_handle).collect();
        Self { flusher: Mutex::new(Some(flusher)), all }
    }

    /// The flusher's task, to be waited for; it can be had once.
    pub(crate) fn take_flusher(&self) -> Option<JoinHandle<()>> {
        lock(&self.flusher).take()
    }

    /// Whether none of them has ended.
    pub(crate) fn run(&self) -> bool {
        !self.all.iter().any(AbortHandle::is_finished)
    }

    pub(crate) fn stop(&self) {
        self.all.iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Chores {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs a chore, and starts it again when it panics. Its panic is counted, and shown by the panic hook.
fn supervise<F>(core: &Arc<Core>, name: &'static str, chore: fn(Arc<Core>) -> F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let core = core.clone();
    tokio::spawn(async move {
        loop {
            let run = Running(tokio::spawn(chore(core.clone())));
            if !run.panicked().await {
                return;
            }
            core.stats.chore_panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(chore = name, "a chore of the engine panicked and is started again");
            sleep(RESTART_PAUSE).await;
        }
    })
}

/// A chore's task, ended when its supervisor is.
struct Running(JoinHandle<()>);

impl Running {
    async fn panicked(mut self) -> bool {
        (&mut self.0).await.is_err_and(|error| error.is_panic())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn watch_load(core: Arc<Core>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        ticks.tick().await;
        let now = Instant::now();
        if let Some((before, rung)) = core.ladder.tick(now - last, core.pulse()) {
            if rung > before {
                tracing::warn!(%before, %rung, "the node serves on a more degraded rung");
            } else {
                tracing::info!(%before, %rung, "the node serves on a better rung");
            }
        }
        core.note_tick();
        last = now;
    }
}

async fn purge(core: Arc<Core>) {
    loop {
        sleep(core.limits.purge_interval).await;
        while !core.is_closing() && purge_step(&core).await == PurgeProgress::More {
            sleep(PURGE_PAUSE).await;
        }
    }
}

/// One step, as far as the node's rung allows; after a failure the next comes with the next round.
async fn purge_step(core: &Core) -> PurgeProgress {
    let permit = match core.ladder.rung() {
        Rung::Full => core.gate.acquire_for_chore().await,
        Rung::Short => match core.gate.try_acquire() {
            Some(spare) => spare,
            None => return PurgeProgress::Done,
        },
        Rung::Stale | Rung::NearOnly | Rung::CacheOnly | Rung::RoutingOnly => return PurgeProgress::Done,
    };
    let (store, now, limit) = (core.store.clone(), core.clock.unix(), core.limits.purge_len);
    let span = trace::chore(core, StoreCall::PurgeExpired, 0);
    let purge = async move { store.purge_expired(now, limit).await };
    let step = statement::start(permit, &core.stats, StoreCall::PurgeExpired, span, purge);
    let Ok(Ok(purged)) = step.await else { return PurgeProgress::Done };
    core.stats.purged.fetch_add(purged.removed, Ordering::Relaxed);
    purged.progress
}

async fn estimate(core: Arc<Core>) {
    loop {
        if !core.is_closing() && core.ladder.rung() == Rung::Full {
            let permit = core.gate.acquire_for_chore().await;
            let store = core.store.clone();
            let span = trace::chore(&core, StoreCall::Estimate, 0);
            let estimate = async move { store.estimate().await };
            let call = statement::start(permit, &core.stats, StoreCall::Estimate, span, estimate);
            if let Ok(Ok(estimate)) = call.await {
                *lock(&core.stats.estimate) = Some((estimate, core.clock.now()));
            }
        }
        sleep(core.limits.estimate_interval).await;
    }
}

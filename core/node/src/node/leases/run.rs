//! The task that keeps the leases and has the heads follow them.

mod begin;
mod calls;

pub(crate) use begin::BeginError;

use super::call::{Call, ended};
use super::state::Leases;
use crate::net::requests::proof::Proof;
use crate::net::supervise::Phase;
use crate::observe::failure_log::FailureLog;
use crate::observe::lease_view::LeaseView;
use hydra_api::{Causes, HeadCount, HeadLease, HeldSlot, IdAllocator};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

/// How long a head has to end after it was told to stop; after this it is aborted.
const STOP_WAIT: Duration = Duration::from_secs(2);
/// How long a stop waits for an acquisition that is under way; without, its slots stay leased until their lives end.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// The heads, as the keeper starts and stops them.
pub(crate) trait Heads: Send + 'static {
    /// Why a head could not start.
    type Error: std::error::Error + Send + 'static;

    /// Starts the head of a lease, and returns the port that it listens on.
    fn start(&mut self, lease: &HeadLease, proof: Arc<Proof>) -> Result<u16, Self::Error>;
    /// Passes the phase of the node on to every head.
    fn set_phase(&mut self, phase: Phase);
    /// Has a head end its connections and stop.
    fn stop(&mut self, slot: u32);
    /// Ends a head that did not stop.
    fn abort(&mut self, slot: u32);
    /// Waits until a head has ended, and returns its slot; for ever while there is none. Cancel safe.
    fn ended(&mut self) -> impl Future<Output = u32> + Send;
}

/// Renews the leases, stops the heads of those that are lost or about to end, and starts them again once they are held.
#[derive(Debug)]
pub(crate) struct LeaseKeeper<H> {
    ids: Arc<dyn IdAllocator>,
    wanted: HeadCount,
    leases: Leases,
    heads: H,
    /// The heads that run, by slot; with a time, those that are stopping and are aborted then.
    running: BTreeMap<u32, Option<Instant>>,
    phase: Phase,
    /// Leases that were given beyond what was wanted, to be released.
    surplus: Vec<HeldSlot>,
    /// Those that are being released.
    releasing: Vec<HeldSlot>,
    /// The acquisition that is under way when the keeper begins to keep.
    acquiring: Option<Call<Vec<HeadLease>>>,
    view: Arc<LeaseView>,
    /// What is logged of failures, of renewals and of acquisitions.
    failures: [FailureLog; 2],
}

impl<H: Heads> LeaseKeeper<H> {
    /// Is to keep `wanted` leases.
    pub(crate) fn new(ids: Arc<dyn IdAllocator>, wanted: HeadCount, heads: H, view: Arc<LeaseView>) -> Self {
        let leases = Leases::new(wanted.get() as usize, Instant::now());
        view.publish(&leases.counts(Instant::now()));
        let (running, surplus, releasing, failures) = Default::default();
        let (phase, acquiring) = (Phase::Serving, None);
        Self { ids, wanted, leases, heads, running, phase, surplus, releasing, acquiring, view, failures }
    }

    /// Acquires the first leases and starts their heads, tells `begun` how that went, and keeps the leases until the node stops
    /// and all heads have ended. Returns what is held then, to be released: also after a beginning that failed or that the stop
    /// interrupted.
    pub(crate) async fn run(
        mut self,
        mut phase: watch::Receiver<Phase>,
        begun: oneshot::Sender<Result<(), BeginError<H::Error>>>,
    ) -> Vec<HeldSlot> {
        let result = tokio::select! {
            result = self.begin() => Some(result),
            () = stopped(&mut phase) => None,
        };
        let is_begun = matches!(result, Some(Ok(())));
        if let Some(result) = result {
            // A node that is gone is told nothing.
            let _is_told = begun.send(result).is_ok();
        }
        if !is_begun {
            stopped(&mut phase).await;
            self.phase = Phase::Stopping;
            self.set_phase();
        }
        self.keep(phase).await
    }

    async fn keep(mut self, mut phase: watch::Receiver<Phase>) -> Vec<HeldSlot> {
        let (mut renewing, mut acquiring, mut releasing) = (None, self.acquiring.take(), None);
        let mut asked = Vec::new();
        while self.phase != Phase::Stopping || !self.running.is_empty() {
            let now = Instant::now();
            self.follow_leases(now);
            if renewing.is_none() && self.leases.renewal_is_due(now) {
                asked = self.leases.slots();
                renewing = Some(self.renew(asked.clone()));
            }
            if acquiring.is_none() && self.phase == Phase::Serving {
                acquiring = self.acquire(now);
            }
            if releasing.is_none() && !self.surplus.is_empty() {
                releasing = Some(self.release());
            }
            let next = self.next(renewing.is_some(), acquiring.is_some(), now);
            tokio::select! {
                changed = phase.changed(), if self.phase != Phase::Stopping => {
                    // A node that is gone has stopped, too.
                    self.phase = if changed.is_ok() { *phase.borrow_and_update() } else { Phase::Stopping };
                    self.set_phase();
                }
                (begun, result) = ended(&mut renewing) => self.on_renewed(&asked, begun, result),
                (begun, result) = ended(&mut acquiring) => self.on_acquired(begun, result),
                (_, result) = ended(&mut releasing) => {
                    self.releasing.clear();
                    calls::on_released(result);
                }
                slot = self.heads.ended() => self.on_head_ended(slot),
                () = sleep_until(next) => {}
            }
        }
        // What a call that is under way obtains has to be released, too.
        if acquiring.is_some()
            && let Ok((begun, result)) = timeout(LAST_WAIT, ended(&mut acquiring)).await
        {
            self.on_acquired(begun, result);
        }
        let mut held = self.leases.slots();
        held.append(&mut self.surplus);
        // Of a release that is under way nobody will say how it ended.
        held.append(&mut self.releasing);
        held
    }

    fn set_phase(&mut self) {
        self.heads.set_phase(self.phase);
        if self.phase == Phase::Stopping {
            let abort_at = Instant::now() + STOP_WAIT;
            for stopping in self.running.values_mut() {
                stopping.get_or_insert(abort_at);
            }
        }
    }

    fn next(&self, is_renewing: bool, is_acquiring: bool, now: Instant) -> Instant {
        // A node that stops acquires nothing.
        let is_acquiring = is_acquiring || self.phase != Phase::Serving;
        let abort = self.running.values().flatten().min().copied();
        let next = self.leases.next(is_renewing, is_acquiring, now);
        abort.map_or(next, |abort| abort.min(next))
    }

    /// Stops heads whose leases are not held or not proven, and starts those whose leases are.
    fn follow_leases(&mut self, now: Instant) {
        for slot in self.leases.expire(now) {
            tracing::error!(head = slot, "the lease ends without proof of a renewal, stopping the head");
        }
        let leases = &self.leases;
        for (slot, stopping) in &mut self.running {
            let is_proven = leases.held().get(slot).is_some_and(|held| held.is_proven(now));
            match stopping {
                None if !is_proven => {
                    *stopping = Some(now + STOP_WAIT);
                    self.heads.stop(*slot);
                }
                Some(abort_at) if *abort_at <= now => {
                    *stopping = Some(now + STOP_WAIT);
                    tracing::error!(head = slot, "the head did not stop in time, aborting it");
                    self.heads.abort(*slot);
                }
                None | Some(_) => {}
            }
        }
        if self.phase == Phase::Serving {
            self.start_proven(now);
        }
        self.view.publish(&self.leases.counts(now));
    }

    fn start_proven(&mut self, now: Instant) {
        for slot in self.idle(now) {
            match self.start(slot) {
                Ok(()) => {
                    self.leases.on_started(slot);
                    tracing::info!(head = slot, "the lease is held, starting the head");
                }
                Err(cause) => {
                    let causes = Causes(&cause).to_string();
                    if self.leases.on_start_failed(slot, &causes, now) {
                        tracing::error!(head = slot, error = causes, "the head cannot start, trying again");
                    }
                }
            }
        }
    }

    /// The slots whose heads do not run and may.
    fn idle(&self, now: Instant) -> Vec<u32> {
        let idle = self.leases.held().iter().filter(|(slot, held)| {
            !self.running.contains_key(slot) && held.is_proven(now) && held.start_at <= now
        });
        idle.map(|(slot, _)| *slot).collect()
    }

    fn start(&mut self, slot: u32) -> Result<(), H::Error> {
        if let Some(held) = self.leases.held().get(&slot) {
            let port = self.heads.start(&held.lease, Arc::clone(&held.proof))?;
            self.running.insert(slot, None);
            self.leases.listens_on(slot, port, Instant::now());
        }
        Ok(())
    }

    fn on_head_ended(&mut self, slot: u32) {
        let was_stopping = self.running.remove(&slot).flatten().is_some();
        if !was_stopping && self.phase == Phase::Serving {
            // Its task restarts it after every failure, so this is a fault of the node itself.
            tracing::error!(head = slot, "the task of the head has ended, starting it again");
            let _logged = self.leases.on_start_failed(slot, "its task has ended", Instant::now());
        }
    }
}

/// Waits until the node stops. A node that is gone has stopped, too.
async fn stopped(phase: &mut watch::Receiver<Phase>) {
    let _is_gone = phase.wait_for(|phase| *phase == Phase::Stopping).await.is_err();
}

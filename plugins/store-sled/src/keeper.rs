//! Keeps an engine that serves: reopens it when it takes no writes any more.

mod values;

use crate::config::Config;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::open;
use crate::read::Answer;
use crate::unflushed::Unflushed;
use hydra_api::{
    Causes, ContentKey, Deleted, Deletion, Found, Inserted, ProviderRecord, StoreError, UnixSeconds,
};
use hydra_embedded::{
    Damage, Ended, Fault as EngineFault, Outage, ROOM_BYTES, Refused, Rows, guarded, probe, write_checksums,
};
use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How often the thread that reopens the engine looks whether that is due, or the store was closed.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// How often the log tells of keys that cannot be read, whatever it is that differs, and how often of the same cause.
const UNREAD_PAUSE: Duration = Duration::from_secs(10);
const UNREAD_REPEAT_PAUSE: Duration = Duration::from_secs(3_600);
/// How long an attempt waits for the calls of the engine that it closes.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// How long a stop takes for the checksums of the files, which it reads.
const CHECKSUMS_MAX: Duration = Duration::from_secs(1);

/// The engine and what it takes to open it again.
#[derive(Debug)]
pub(crate) struct Keeper {
    dir: PathBuf,
    config: Config,
    damage: Damage,
    /// One write at a time.
    pub(crate) writes: Arc<Semaphore>,
    state: Mutex<State>,
    unflushed: Mutex<Unflushed>,
    /// Why keys could not be read, as it was logged last.
    unread: Mutex<Option<Logged>>,
    /// One call at a time looks for the cause of an outage.
    beginning: Mutex<()>,
}

/// A line of the log.
#[derive(Debug)]
struct Logged {
    because: String,
    at: Instant,
    /// The cause of the last failure, logged or not.
    last: String,
}

impl Logged {
    /// Whether another one, for this cause, comes too soon.
    fn keeps_back(&self, because: &str, now: Instant) -> bool {
        let pause = if self.because == because { UNREAD_REPEAT_PAUSE } else { UNREAD_PAUSE };
        now.saturating_duration_since(self.at) < pause
    }
}

#[derive(Debug)]
struct State {
    /// `None` while it is reopened, and when that failed.
    engine: Option<Arc<Engine>>,
    health: Health,
    last: Option<Ended>,
    is_closing: bool,
}

#[derive(Debug)]
enum Health {
    Serving,
    Outage(Outage),
    /// An attempt to reopen found damage.
    Damaged(Refused),
}

/// What a call does with the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// It is tried as long as there is an engine.
    Read,
    /// It is refused during an outage.
    Write,
}

impl Keeper {
    pub(crate) fn new(dir: PathBuf, config: Config, damage: Damage, engine: Engine) -> Self {
        let unflushed = Unflushed::new(config.flush_interval());
        Self {
            dir,
            config,
            damage,
            writes: Arc::new(Semaphore::new(1)),
            state: Mutex::new(State {
                engine: Some(Arc::new(engine)),
                health: Health::Serving,
                last: None,
                is_closing: false,
            }),
            unflushed: Mutex::new(unflushed),
            unread: Mutex::default(),
            beginning: Mutex::default(),
        }
    }

    /// The engine for one call, which drops it before it gives its permit back.
    pub(crate) fn engine(&self, operation: &'static str, call: Call) -> Result<Arc<Engine>, StoreError> {
        let state = self.state();
        if state.is_closing {
            return Err(StoreError::closed(operation));
        }
        match (&state.health, &state.engine) {
            (Health::Serving, None) => Err(StoreError::closed(operation)),
            (Health::Serving, Some(engine)) => Ok(Arc::clone(engine)),
            (Health::Outage(_), Some(engine)) if call == Call::Read => Ok(Arc::clone(engine)),
            (Health::Outage(outage), _) => Err(outage.refused().error(operation)),
            (Health::Damaged(refused), _) => Err(refused.error(operation)),
        }
    }

    /// The error of a call that failed. When it stopped the engine, an outage begins.
    pub(crate) fn failed(
        self: &Arc<Self>,
        engine: &Engine,
        fault: EngineFault,
        operation: &'static str,
    ) -> StoreError {
        let fault = self.damage.noted(fault);
        match engine.stopped_by() {
            Some(Fault(stopped)) if !fault.is_damage() && !stopped.is_damage() => {
                self.begin_outage(stopped).error(operation)
            }
            _ => fault.into_error(operation),
        }
    }

    /// Reads; what cannot be read begins an outage if the engine has stopped, and is logged otherwise. Damage to the pages of all keys
    /// fails the call, which says more than its kind.
    pub(crate) fn providers(
        self: &Arc<Self>,
        engine: &Engine,
        keys: &[ContentKey],
        now: UnixSeconds,
        limit: usize,
    ) -> Result<Vec<Found>, Fault> {
        let Answer { found, unread } = engine.providers(keys, now, limit);
        if let Some(Fault(fault)) = unread {
            let is_damage = fault.is_damage();
            if is_damage && found.iter().all(|found| matches!(found, Found::Unknown(_))) {
                return Err(Fault(fault));
            }
            self.record_unread(engine, Fault(fault), "providers");
        }
        Ok(found)
    }

    /// Keys that could not be read begin an outage if the engine has stopped, and are logged otherwise.
    fn record_unread(self: &Arc<Self>, engine: &Engine, Fault(fault): Fault, operation: &'static str) {
        let is_damage = fault.is_damage();
        let error = self.failed(engine, fault, operation);
        let because = error.source().map_or_else(|| error.to_string(), |cause| Causes(cause).to_string());
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_news = unread.as_ref().is_none_or(|last| !last.keeps_back(&because, now));
        if self.refused().is_none() && is_news {
            if is_damage {
                tracing::error!(error = %because, "some keys cannot be read");
            } else {
                tracing::warn!(error = %because, "some keys cannot be read");
            }
            *unread = Some(Logged { because: because.clone(), at: now, last: because });
        } else if let Some(logged) = &mut *unread {
            logged.last = because;
        }
    }

    /// Why keys could not be read last.
    pub(crate) fn unreadable_because(&self) -> Option<String> {
        if let Some(refused) = self.refused() {
            return Some(Causes(&refused).to_string());
        }
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        unread.as_ref().map(|logged| logged.last.clone())
    }

    /// Inserts a batch, keeps it until it is in the file, and flushes when that is due.
    pub(crate) fn insert(
        self: &Arc<Self>,
        engine: &Engine,
        batch: &Arc<[ProviderRecord]>,
        now: UnixSeconds,
    ) -> Result<Inserted, Fault> {
        let inserted = engine.insert(batch, now)?;
        let mut unflushed = self.unflushed.lock().unwrap_or_else(PoisonError::into_inner);
        unflushed.push(batch, now);
        if unflushed.is_due(Instant::now()) {
            match engine.flush() {
                Ok(()) => unflushed.flushed(Instant::now()),
                // The batch is kept and comes back with the reopened engine. The caller has what it asked for.
                Err(fault) => {
                    drop(unflushed);
                    drop(self.failed(engine, fault.0, "flush"));
                }
            }
        }
        Ok(inserted)
    }

    /// Removes records, and flushes: a batch that is not in the file yet would bring them back after an outage.
    pub(crate) fn delete(&self, engine: &Engine, deletion: Deletion, limit: usize) -> Result<Deleted, Fault> {
        let deleted = engine.delete(deletion, limit)?;
        let mut unflushed = self.unflushed.lock().unwrap_or_else(PoisonError::into_inner);
        engine.flush()?;
        unflushed.flushed(Instant::now());
        Ok(deleted)
    }

    /// Why calls are refused, when they are.
    fn refused(&self) -> Option<Refused> {
        match &self.state().health {
            Health::Serving => None,
            Health::Outage(outage) => Some(outage.refused().clone()),
            Health::Damaged(refused) => Some(refused.clone()),
        }
    }

    fn begin_outage(self: &Arc<Self>, fault: EngineFault) -> Refused {
        let _beginning = self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(refused) = self.refused() {
            return refused;
        }
        // Sled gives copies of its error, without the code of the system; what stops a probe will be the same.
        let probed = probe(&self.dir, ROOM_BYTES);
        let is_obstructed = probed.is_err();
        let cause = probed.map_or_else(EngineFault::Io, |()| fault);
        let mut outage = Outage::begin(cause, self.state().last, Instant::now());
        if is_obstructed {
            outage.obstructed();
        }
        let refused = outage.refused().clone();
        self.state().health = Health::Outage(outage);
        let this = Arc::downgrade(self);
        let thread = thread::Builder::new().name("records-reopen".to_owned()).spawn(move || {
            // It ends with the outage, or with the store.
            while this.upgrade().is_some_and(|this| this.tend()) {
                thread::sleep(LOOK_PAUSE);
            }
        });
        if let Err(cause) = thread {
            // The next call that fails begins it again.
            self.state().health = Health::Serving;
            return Refused::unavailable(cause);
        }
        refused
    }

    /// Reopens the engine when that is due and its directory can be written; whether this outage must be looked at again.
    fn tend(&self) -> bool {
        {
            let state = self.state();
            let Health::Outage(outage) = &state.health else { return false };
            if state.is_closing {
                return false;
            }
            if outage.due_in(Instant::now()) > Duration::ZERO {
                return true;
            }
        }
        // Without the lock: a disk may take long.
        let probed = probe(&self.dir, ROOM_BYTES).map_err(EngineFault::Io);
        {
            let mut state = self.state();
            let Health::Outage(outage) = &mut state.health else { return false };
            if !outage.may_reopen(probed, Instant::now()) {
                return true;
            }
        }
        let attempt = match Arc::clone(&self.writes).try_acquire_owned() {
            Ok(_permit) => self.attempt(),
            Err(_) => Err(EngineFault::refusal(CallsGoOn)),
        };
        match attempt {
            // The next outage has a thread of its own.
            Ok(()) => false,
            Err(fault) => {
                self.attempt_failed(fault);
                true
            }
        }
    }

    fn attempt_failed(&self, fault: EngineFault) {
        let mut state = self.state();
        if let Health::Outage(outage) = &mut state.health {
            outage.failed(fault, Instant::now());
        }
    }

    /// One attempt, under the permit for writes: closes the engine, opens it again and inserts what it had not flushed.
    fn attempt(&self) -> Result<(), EngineFault> {
        probe(&self.dir, ROOM_BYTES).map_err(EngineFault::Io)?;
        self.drain()?;
        let engine = open::files(&self.dir, &self.config, Rows::MayBeNone)
            .map_err(|fault| self.not_reopened(fault))?;
        let mut unflushed = self.unflushed.lock().unwrap_or_else(PoisonError::into_inner);
        let restored = guarded(|| {
            let mut batches = unflushed.batches();
            let restored = batches.try_for_each(|(batch, now)| engine.insert(batch, now).map(drop));
            let restored = restored.and_then(|()| engine.restore_values(unflushed.values()));
            restored.and_then(|()| engine.flush()).map_err(|Fault(fault)| fault)
        });
        let mut state = self.state();
        state.engine = Some(Arc::new(engine));
        restored?;
        unflushed.flushed(Instant::now());
        if let Health::Outage(outage) = std::mem::replace(&mut state.health, Health::Serving) {
            state.last = Some(outage.end(Instant::now()));
        }
        Ok(())
    }

    /// Gives up when files are damaged: until the next start all calls are refused.
    fn not_reopened(&self, fault: EngineFault) -> EngineFault {
        if !fault.is_damage() {
            return fault;
        }
        let refused = Refused::damaged(self.damage.noted(fault));
        self.state().health = Health::Damaged(refused.clone());
        EngineFault::refusal(refused)
    }

    /// Takes the engine from all calls and closes it.
    fn drain(&self) -> Result<(), EngineFault> {
        let Some(engine) = self.state().engine.take() else { return Ok(()) };
        let begun = Instant::now();
        while Arc::strong_count(&engine) > 1 {
            if begun.elapsed() > DRAIN_MAX {
                self.state().engine = Some(engine);
                return Err(EngineFault::refusal(CallsGoOn));
            }
            thread::sleep(Duration::from_millis(1));
        }
        guarded(|| {
            drop(engine);
            Ok(())
        })
    }

    /// Refuses all calls to come.
    pub(crate) fn refuse_calls(&self) {
        self.state().is_closing = true;
    }

    /// Writes what sled holds in memory. The last calls must have ended. Sled's threads end with the last handle; they
    /// force the file onto the disk. Then lists the checksums of the files, if there is time for it until `until`.
    pub(crate) fn close(&self, until: Instant) -> Result<(), StoreError> {
        const OPERATION: &str = "close";
        let engine = self.state().engine.clone();
        let flushed =
            guarded(|| engine.map_or(Ok(()), |engine| engine.flush()).map_err(|Fault(fault)| fault));
        let refused = self.refused().map(|refused| Err(refused.error(OPERATION)));
        let flushed = refused.unwrap_or_else(|| flushed.map_err(|fault| fault.into_error(OPERATION)));
        // What was acknowledged is worth one attempt more.
        let closed = flushed.or_else(|error| {
            self.attempt().map_err(|fault| {
                tracing::error!(error = %Causes(&fault), "records that were acknowledged may be lost");
                error
            })
        });
        let engine = self.state().engine.take();
        let ended = guarded(|| {
            drop(engine);
            Ok(())
        });
        closed.and(ended.map_err(|fault| fault.into_error(OPERATION)))?;
        if !self.damage.is_found() {
            self.list_checksums(until.min(Instant::now() + CHECKSUMS_MAX));
        }
        Ok(())
    }

    /// Lists the checksums of the files for the next open, which compares them: sled would take damage for a write that was cut short.
    /// A stop does not wait for long: without a list there is no comparison.
    fn list_checksums(&self, until: Instant) {
        let listed = open::released(&self.dir, until).and_then(|_file| write_checksums(&self.dir, until));
        if let Err(cause) = listed {
            tracing::warn!(
                dir = %self.dir.display(),
                %cause,
                "there are no checksums of the records: damage to the files before the next start may go unnoticed"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engine cannot be reopened yet.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("calls of the old engine have not ended")]
struct CallsGoOn;

#[cfg(test)]
mod tests;

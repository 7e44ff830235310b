//! Keeps an engine that serves: reopens it when it takes no writes any more.

use crate::config::Config;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::open;
use crate::readers::Readers;
use fjall::PersistMode;
use hydra_api::{Causes, PutOutcome, StoreError, UnixSeconds, ValuePut};
use hydra_embedded::values::Puts;
use hydra_embedded::{
    Damage, Ended, Fault as EngineFault, Outage, ROOM_BYTES, Refused, Rows, guarded, probe,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long an attempt waits for the reads of the engine that it closes.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// The engine and what it takes to open it again.
pub(crate) struct Keeper {
    dir: PathBuf,
    config: Config,
    damage: Damage,
    readers: Arc<Readers>,
    /// The count for callers of `estimate`.
    records: Arc<AtomicU64>,
    /// Kept during an outage for reads, until it is reopened. `None` when that failed.
    engine: Option<Engine>,
    health: Health,
    last: Option<Ended>,
}

/// Whether writes are served.
enum Health {
    Serving,
    Outage(Outage),
    /// An attempt to reopen found damage.
    Damaged(Refused),
}

impl Keeper {
    pub(crate) fn new(
        dir: PathBuf,
        config: Config,
        damage: Damage,
        readers: Arc<Readers>,
        engine: Engine,
    ) -> Self {
        let records = Arc::new(AtomicU64::new(engine.counts.records));
        let (engine, health) = (Some(engine), Health::Serving);
        Self { dir, config, damage, readers, records, engine, health, last: None }
    }

    pub(crate) fn records(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.records)
    }

    /// Runs a write. A fault that stops the engine begins an outage, during which all writes are refused at once.
    pub(crate) fn write<T>(
        &mut self,
        operation: &'static str,
        call: impl FnOnce(&mut Engine) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        if let Some(refused) = self.refused() {
            return Err(refused.error(operation));
        }
        let Some(engine) = &mut self.engine else { return Err(StoreError::closed(operation)) };
        let written = guarded(|| call(engine).map_err(|Fault(fault)| fault));
        self.records.store(engine.counts.records, Ordering::Relaxed);
        let fault = match written {
            Ok(written) => return Ok(written),
            Err(fault) => self.damage.noted(fault),
        };
        if fault.is_damage() || !engine.has_stopped() {
            return Err(fault.into_error(operation));
        }
        Err(self.begin_outage(fault).error(operation))
    }

    /// Puts value records. Those whose rows are damaged are left open.
    pub(crate) fn put_values(
        &mut self,
        batch: &[ValuePut],
        now: UnixSeconds,
    ) -> Result<Vec<PutOutcome>, StoreError> {
        let Puts { outcomes, damaged } = self.write("put_if", |engine| engine.put_values(batch, now))?;
        if let Some(Fault(damaged)) = damaged {
            self.damage.noted_in_part(damaged);
        }
        Ok(outcomes)
    }

    fn refused(&self) -> Option<&Refused> {
        match &self.health {
            Health::Serving => None,
            Health::Outage(outage) => Some(outage.refused()),
            Health::Damaged(refused) => Some(refused),
        }
    }

    fn begin_outage(&mut self, fault: EngineFault) -> Refused {
        let probed = probe(&self.dir, self.room_bytes());
        let is_obstructed = probed.is_err();
        // fjall does not say what stopped its own threads; what stops a probe will be the same.
        let cause = match (fault, probed) {
            (EngineFault::Io(cause), _) | (_, Err(cause)) => EngineFault::Io(cause),
            (fault, Ok(())) => fault,
        };
        let mut outage = Outage::begin(cause, self.last, Instant::now());
        if is_obstructed {
            outage.obstructed();
        }
        let refused = outage.refused().clone();
        self.health = Health::Outage(outage);
        refused
    }

    /// How long until an attempt to reopen the engine is due; `None` when there is no need or no hope.
    pub(crate) fn reopening_due_in(&self) -> Option<Duration> {
        match &self.health {
            Health::Outage(outage) => Some(outage.due_in(Instant::now())),
            Health::Serving | Health::Damaged(_) => None,
        }
    }

    /// Reopens the engine when that is due and its directory can be written.
    pub(crate) fn tend(&mut self) {
        let room_bytes = self.room_bytes();
        let Health::Outage(outage) = &mut self.health else { return };
        if outage.due_in(Instant::now()) > Duration::ZERO {
            return;
        }
        let probed = probe(&self.dir, room_bytes).map_err(EngineFault::Io);
        let may_reopen = outage.may_reopen(probed, Instant::now());
        let refused = outage.refused().clone();
        if !may_reopen {
            return self.readers.fail(&refused);
        }
        let reopened = self.make_ready(&refused).map(|()| self.reopen());
        let health = std::mem::replace(&mut self.health, Health::Serving);
        let Health::Outage(mut outage) = health else { return };
        match reopened {
            Ok(Ok(())) => {
                self.last = Some(outage.end(Instant::now()));
                return;
            }
            Ok(Err(fault)) if fault.is_damage() => {
                let refused = Refused::damaged(self.damage.noted(fault));
                self.readers.fail(&refused);
                self.health = Health::Damaged(refused);
                return;
            }
            Ok(Err(fault)) | Err(fault) => outage.failed(fault, Instant::now()),
        }
        self.readers.fail(outage.refused());
        self.health = Health::Outage(outage);
    }

    /// Makes sure that no record depends on the memory of the engine, and that nobody uses it.
    fn make_ready(&self, refused: &Refused) -> Result<(), EngineFault> {
        let Some(engine) = &self.engine else { return Ok(()) };
        match guarded(|| engine.save().map_err(|Fault(fault)| fault)) {
            Ok(()) => {}
            // One of fjall's threads has died in it, and nobody can do it any more. The journal has all records.
            Err(fault @ EngineFault::Panic(_)) => {
                tracing::warn!(error = %Causes(&fault), "rows in memory are not saved before the engine is reopened");
            }
            Err(fault) => return Err(fault),
        }
        if self.readers.drain(refused, DRAIN_MAX) { Ok(()) } else { Err(EngineFault::refusal(ReadsGoOn)) }
    }

    fn reopen(&mut self) -> Result<(), EngineFault> {
        if let Some(engine) = self.engine.take() {
            guarded(|| {
                drop(engine);
                Ok(())
            })?;
        }
        let (engine, reader) = open::files(&self.dir, &self.config, Rows::MayBeNone)?;
        self.records.store(engine.counts.records, Ordering::Relaxed);
        self.engine = Some(engine);
        self.readers.put(reader);
        Ok(())
    }

    fn room_bytes(&self) -> u64 {
        self.engine.as_ref().map_or(0, Engine::unsaved_bytes) + ROOM_BYTES
    }

    /// Forces the journal, which has all records, onto the disk. Then writes all rows to files, which have checksums: fjall drops a
    /// journal from its first damaged entry on and tells nobody, as it cannot tell damage from an entry that a crash has cut. Files take
    /// room that a full disk does not have; without them nothing is lost. Ends fjall's threads with the last handle to it.
    pub(crate) fn close(mut self) -> Result<(), StoreError> {
        const OPERATION: &str = "close";
        let Some(engine) = self.engine.take() else {
            return self.refused().map_or(Ok(()), |refused| Err(refused.error(OPERATION)));
        };
        let by_fault = |Fault(fault)| fault;
        let saved = || guarded(|| engine.save().map_err(by_fault));
        let synced = match self.health {
            Health::Serving => guarded(|| engine.sync(PersistMode::SyncAll).map_err(by_fault)).and_then(|()| {
                match saved() {
                    Err(fault) if !fault.is_damage() => {
                        tracing::warn!(error = %Causes(&fault), "rows in memory are not written to files; the journal has them");
                        Ok(())
                    }
                    saved => saved,
                }
            }),
            // The journal takes no more, and what it has may not be on the disk yet.
            Health::Outage(_) | Health::Damaged(_) => saved(),
        };
        let ended = guarded(|| {
            drop(engine);
            Ok(())
        });
        synced.and(ended).map_err(|fault| self.damage.noted(fault).into_error(OPERATION))
    }
}

/// The engine cannot be reopened yet.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("reads of the old engine have not ended within {DRAIN_MAX:?}")]
struct ReadsGoOn;

#[cfg(test)]
mod tests;

//! Value records: kept until they are in the file, as batches of provider records are.

use super::Keeper;
use crate::engine::Engine;
use crate::fault::Fault;
use hydra_api::UnixSeconds;
use hydra_api::value::{FoundValue, PutOutcome, ValueKey, ValuePut};
use hydra_embedded::values::Puts;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

impl Keeper {
    /// Reads; a key whose pages cannot be read is unknown, as for providers.
    pub(crate) fn values(
        self: &Arc<Self>,
        engine: &Engine,
        keys: &[ValueKey],
        now: UnixSeconds,
    ) -> Result<Vec<FoundValue>, Fault> {
        let (mut found, mut unread) = (Vec::with_capacity(keys.len()), None::<Fault>);
        for key in keys {
            found.push(match engine.value(key, now) {
                Ok(record) => FoundValue::Known(record),
                Err(fault) => {
                    let kind = fault.0.kind();
                    if unread.as_ref().is_none_or(|known| fault.0.is_damage() && !known.0.is_damage()) {
                        unread = Some(fault);
                    }
                    FoundValue::Unknown(kind)
                }
            });
        }
        let Some(fault) = unread else { return Ok(found) };
        if fault.0.is_damage() && found.iter().all(|found| matches!(found, FoundValue::Unknown(_))) {
            return Err(fault);
        }
        self.record_unread(engine, fault, "get");
        Ok(found)
    }

    /// Puts a batch, keeps what is stored until it is in the file, and flushes when that is due.
    pub(crate) fn put_values(
        self: &Arc<Self>,
        engine: &Engine,
        batch: &[ValuePut],
        now: UnixSeconds,
    ) -> Result<Vec<PutOutcome>, Fault> {
        let Puts { outcomes, damaged } = engine.put_values(batch, now)?;
        if let Some(fault) = damaged {
            self.record_unread(engine, fault, "put_if");
        }
        let mut unflushed = self.unflushed.lock().unwrap_or_else(PoisonError::into_inner);
        for (put, outcome) in batch.iter().zip(&outcomes) {
            if *outcome == PutOutcome::Stored {
                unflushed.push_value(put);
            }
        }
        if unflushed.is_due(Instant::now()) {
            match engine.flush() {
                Ok(()) => unflushed.flushed(Instant::now()),
                // They are kept and come back with the reopened engine. The caller has what it asked for.
                Err(fault) => {
                    drop(unflushed);
                    drop(self.failed(engine, fault.0, "flush"));
                }
            }
        }
        Ok(outcomes)
    }

    /// Removes records, and flushes: what is kept would bring them back after an outage.
    pub(crate) fn delete_values(&self, engine: &Engine, keys: &[ValueKey]) -> Result<u64, Fault> {
        let removed = engine.delete_values(keys)?;
        let mut unflushed = self.unflushed.lock().unwrap_or_else(PoisonError::into_inner);
        engine.flush()?;
        unflushed.flushed(Instant::now());
        Ok(removed)
    }
}

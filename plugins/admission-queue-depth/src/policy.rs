//! The policy: the most severe of what the queues say.

use crate::config::{Config, Judges, Levels};
use hydra_api::{
    AdmissionPolicy, Judgement, Load, OpenError, Operation, Outcome, ReasonId, ReconfigureError, Request,
    Rung, Token, Value, Verdict,
};
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The write queue is too full.
pub const WRITE_QUEUE: ReasonId = ReasonId(0);
/// Too many reads wait for a permit.
pub const WAITING: ReasonId = ReasonId(1);
/// The store works on too many statements.
pub const IN_FLIGHT: ReasonId = ReasonId(2);

const REASONS: [&str; 3] = ["write_queue_depth", "waiting_depth", "in_flight_depth"];

/// Degrades and declines by the fill level of the queues before the store.
///
/// It keeps nothing between two requests: a verdict follows from the levels of the moment, and is lifted as soon as
/// they fall. The ladder of the whole node, which recovers slowly, is not touched by it.
#[derive(Debug)]
pub struct QueueDepth {
    /// The levels of all queues in one word, so that a request sees a change of the config as a whole.
    packed: AtomicU64,
}

impl QueueDepth {
    /// A policy of these levels.
    ///
    /// # Errors
    /// [`OpenError`] when a level is out of its bounds, or requests would be declined before they are degraded.
    pub fn new(config: Config) -> Result<Self, OpenError> {
        Ok(Self { packed: AtomicU64::new(pack(config.levels()?)) })
    }
}

/// How many bits of the word a queue takes.
const QUEUE_BITS: usize = 20;

/// Percentages are at most 100.
fn pack(levels: [Levels; 3]) -> u64 {
    let pack = |Levels { judges, degrade_percent, degrade_to, decline_percent }| {
        let [judges, rung] = [judges as u64, degrade_to.index() as u64];
        judges | rung << 2 | u64::from(degrade_percent) << 6 | u64::from(decline_percent) << 13
    };
    levels.into_iter().rev().fold(0, |word, queue| word << QUEUE_BITS | pack(queue))
}

fn unpack(word: u64) -> [Levels; 3] {
    std::array::from_fn(|place| {
        let queue = word >> (place * QUEUE_BITS);
        Levels {
            judges: Judges::ALL[(queue & 3) as usize],
            degrade_percent: (queue >> 6 & 127) as u32,
            degrade_to: Rung::ALL.get((queue >> 2 & 15) as usize).copied().unwrap_or_default(),
            decline_percent: (queue >> 13 & 127) as u32,
        }
    })
}

impl AdmissionPolicy for QueueDepth {
    fn admit(&self, request: &Request<'_>, load: &Load, _now: Instant) -> Judgement {
        let [write_queue, waiting, in_flight] = unpack(self.packed.load(Ordering::Relaxed));
        let verdict = write_queue
            .verdict(request.operation, load.write_queue, WRITE_QUEUE)
            .max(waiting.verdict(request.operation, load.waiting, WAITING))
            .max(in_flight.verdict(request.operation, load.in_flight, IN_FLIGHT));
        verdict.into()
    }

    /// Nothing was taken, so nothing is given back, whatever the outcome.
    fn settle(&self, _: &Request<'_>, _: Token, _: &Outcome, _: Instant) {}

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        REASONS.map(Cow::Borrowed).into()
    }

    /// Every key is taken up.
    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        let config: Config = ReconfigureError::parse(table)?;
        let levels = config.levels().map_err(|error| {
            ReconfigureError::from_open(&error).unwrap_or(ReconfigureError::needs_restart())
        })?;
        self.packed.store(pack(levels), Ordering::Relaxed);
        Ok(())
    }
}

impl Levels {
    /// A queue that does not exist (its `max` is 0) has no say.
    fn verdict(&self, operation: Operation, level: hydra_api::admission::Level, reason: ReasonId) -> Verdict {
        if !self.judges.concerns(operation) || level.max == 0 {
            return Verdict::Admit;
        }
        let percent = level.percent();
        if self.decline_percent != 0 && percent >= self.decline_percent {
            return Verdict::Decline(reason);
        }
        if self.degrade_percent != 0 && percent >= self.degrade_percent {
            return Verdict::Degrade(self.degrade_to);
        }
        Verdict::Admit
    }
}

impl Judges {
    const fn concerns(self, operation: Operation) -> bool {
        match operation {
            Operation::GetProviders | Operation::GetValue => matches!(self, Self::Reads | Self::Both),
            Operation::AddProvider | Operation::PutValue => matches!(self, Self::Writes | Self::Both),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;

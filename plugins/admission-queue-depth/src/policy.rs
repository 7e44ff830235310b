//! The policy: the most severe of what the queues say.

use crate::config::{Config, Judges, Levels};
use hydra_api::{
    AdmissionPolicy, Judgement, Load, OpenError, Operation, Outcome, ReasonId, ReconfigureError, Request,
    Rung, Token, Value, Verdict,
};
use std::borrow::Cow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// The write queue is too full.
pub const WRITE_QUEUE: ReasonId = ReasonId(0);
/// Too many reads wait for a permit.
pub const WAITING: ReasonId = ReasonId(1);
/// The store works on too many statements.
pub const IN_FLIGHT: ReasonId = ReasonId(2);

const REASONS: [&str; 3] = ["write_queue_depth", "waiting_depth", "in_flight_depth"];

/// Degrades and declines by how full the queues before the store are.
///
/// It keeps nothing between two requests: a verdict follows from the levels of the moment, and is lifted as soon as
/// they fall. The ladder of the whole node, which recovers slowly, is not touched by it.
#[derive(Debug)]
pub struct QueueDepth {
    write_queue: Shared,
    waiting: Shared,
    in_flight: Shared,
}

/// Levels in one number, so that a change is seen whole.
#[derive(Debug)]
struct Shared(AtomicU32);

impl Shared {
    fn new(levels: Levels) -> Self {
        Self(AtomicU32::new(packed(levels)))
    }

    fn get(&self) -> Levels {
        let [judges, degrade_percent, degrade_to, decline_percent] =
            self.0.load(Ordering::Relaxed).to_le_bytes();
        Levels {
            judges: Judges::ALL.get(usize::from(judges)).copied().unwrap_or(Judges::Nothing),
            degrade_percent: degrade_percent.into(),
            degrade_to: Rung::ALL.get(usize::from(degrade_to)).copied().unwrap_or_default(),
            decline_percent: decline_percent.into(),
        }
    }

    fn set(&self, levels: Levels) {
        self.0.store(packed(levels), Ordering::Relaxed);
    }
}

/// Percentages are at most 100.
fn packed(levels: Levels) -> u32 {
    let Levels { judges, degrade_percent, degrade_to, decline_percent } = levels;
    let percent = |percent: u32| percent.min(100) as u8;
    let bytes = [judges as u8, percent(degrade_percent), degrade_to.index() as u8, percent(decline_percent)];
    u32::from_le_bytes(bytes)
}

impl QueueDepth {
    /// A policy of these levels.
    ///
    /// # Errors
    /// [`OpenError`] when a level is out of its bounds, or requests would be declined before they are degraded.
    pub fn new(config: Config) -> Result<Self, OpenError> {
        let [write_queue, waiting, in_flight] = config.levels()?.map(Shared::new);
        Ok(Self { write_queue, waiting, in_flight })
    }
}

impl AdmissionPolicy for QueueDepth {
    fn admit(&self, request: &Request<'_>, load: &Load, _now: Instant) -> Judgement {
        let verdict = self
            .write_queue
            .get()
            .verdict(request.operation, load.write_queue, WRITE_QUEUE)
            .max(self.waiting.get().verdict(request.operation, load.waiting, WAITING))
            .max(self.in_flight.get().verdict(request.operation, load.in_flight, IN_FLIGHT));
        verdict.into()
    }

    /// Nothing was taken, so nothing is given back.
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
        for (shared, levels) in [&self.write_queue, &self.waiting, &self.in_flight].into_iter().zip(levels) {
            shared.set(levels);
        }
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
            Operation::FindNode | Operation::Ping => false,
            Operation::GetProviders | Operation::GetValue => matches!(self, Self::Reads | Self::Both),
            Operation::AddProvider | Operation::PutValue => matches!(self, Self::Writes | Self::Both),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{InFlight, Waiting, WriteQueue};
    use hydra_api::PeerId;
    use hydra_api::admission::Level;

    fn load(write_queue: u32, waiting: u32, in_flight: u32) -> Load {
        let level = |used| Level { used, max: 100 };
        Load::new(level(write_queue), level(waiting), level(in_flight), Rung::Full)
    }

    fn verdict(config: Config, operation: Operation, load: Load) -> Verdict {
        let request = Request::new(operation, PeerId::new(b"peer").unwrap(), None, 0, b"key");
        QueueDepth::new(config).unwrap().admit(&request, &load, Instant::now()).verdict
    }

    #[test]
    fn the_write_queue_judges_writes_and_the_gate_judges_reads() {
        let of = |operation, load| verdict(Config::default(), operation, load);
        let short = Verdict::Degrade(Rung::Short);
        for write in [Operation::AddProvider, Operation::PutValue] {
            assert_eq!(of(write, load(49, 100, 100)), Verdict::Admit);
            assert_eq!(of(write, load(50, 0, 0)), short);
            assert_eq!(of(write, load(90, 0, 0)), Verdict::Decline(WRITE_QUEUE));
        }
        for read in [Operation::GetProviders, Operation::GetValue] {
            assert_eq!(of(read, load(100, 49, 99)), Verdict::Admit);
            assert_eq!(of(read, load(0, 50, 0)), short);
            assert_eq!(of(read, load(0, 90, 0)), Verdict::Decline(WAITING));
            assert_eq!(of(read, load(0, 0, 100)), short, "permits in use decline nothing by default");
        }
    }

    #[test]
    fn find_node_and_ping_pass_whatever_the_levels() {
        let write_queue = WriteQueue { judges: Judges::Both, ..WriteQueue::default() };
        let config = Config {
            write_queue,
            waiting: Waiting { judges: Judges::Both, ..Waiting::default() },
            ..Config::default()
        };
        for operation in [Operation::FindNode, Operation::Ping] {
            assert_eq!(verdict(config, operation, load(100, 100, 100)), Verdict::Admit);
        }
    }

    #[test]
    fn the_most_severe_queue_decides() {
        let waiting = Waiting { degrade_to: Rung::CacheOnly, ..Waiting::default() };
        let config = Config { waiting, ..Config::default() };
        let degraded = verdict(config, Operation::GetProviders, load(0, 60, 100));
        assert_eq!(degraded, Verdict::Degrade(Rung::CacheOnly));
    }

    #[test]
    fn nought_is_never_and_nothing_is_not_looked_at() {
        let never = WriteQueue { degrade_percent: 0, decline_percent: 0, ..WriteQueue::default() };
        let config = Config { write_queue: never, ..Config::default() };
        assert_eq!(verdict(config, Operation::AddProvider, load(100, 0, 0)), Verdict::Admit);
        let nothing = InFlight { judges: Judges::Nothing, ..InFlight::default() };
        let config = Config { in_flight: nothing, ..Config::default() };
        assert_eq!(verdict(config, Operation::GetValue, load(0, 0, 100)), Verdict::Admit);
    }

    #[test]
    fn a_queue_that_does_not_exist_has_no_say() {
        let none = Level { used: 0, max: 0 };
        let load = Load::new(none, none, none, Rung::Full);
        assert_eq!(verdict(Config::default(), Operation::GetProviders, load), Verdict::Admit);
    }

    #[test]
    fn levels_out_of_order_or_out_of_bounds_are_refused_by_their_key() {
        let key = |config| match QueueDepth::new(config).unwrap_err().kind() {
            hydra_api::OpenErrorKind::Config { key } => key.clone(),
            other => panic!("{other:?}"),
        };
        let waiting = Waiting { degrade_percent: 95, ..Waiting::default() };
        assert_eq!(key(Config { waiting, ..Config::default() }), "waiting.degrade_percent");
        let write_queue = WriteQueue { decline_percent: 101, ..WriteQueue::default() };
        assert_eq!(key(Config { write_queue, ..Config::default() }), "write_queue.decline_percent");
    }

    #[test]
    fn part_of_a_queue_keeps_the_defaults_of_the_rest() {
        let table = serde_json::json!({ "write_queue": { "decline_percent": 80 } });
        let config: Config = serde_json::from_value(table).unwrap();
        assert_eq!(config.write_queue, WriteQueue { decline_percent: 80, ..WriteQueue::default() });
        assert!(serde_json::from_value::<Config>(serde_json::json!({ "write_queue": { "x": 1 } })).is_err());
    }

    #[test]
    fn a_changed_table_is_taken_up_whole_or_not_at_all() {
        let policy = QueueDepth::new(Config::default()).unwrap();
        let request = Request::new(Operation::AddProvider, PeerId::new(b"peer").unwrap(), None, 0, b"key");
        let at = |percent| policy.admit(&request, &load(percent, 0, 0), Instant::now()).verdict;
        assert_eq!(at(85), Verdict::Degrade(Rung::Short));
        let table = serde_json::json!({ "write_queue": { "decline_percent": 80, "degrade_percent": 20 } });
        policy.reconfigure(table).unwrap();
        assert_eq!(
            [at(19), at(20), at(80)],
            [Verdict::Admit, Verdict::Degrade(Rung::Short), Verdict::Decline(WRITE_QUEUE)]
        );
        for (table, key) in [
            (serde_json::json!({ "write_queue": { "decline_percent": 101 } }), "write_queue.decline_percent"),
            (serde_json::json!({ "waiting": { "x": 1 } }), "waiting"),
        ] {
            let refused = policy.reconfigure(table).unwrap_err().to_string();
            assert!(refused.contains(key), "{refused}");
        }
        assert_eq!(at(80), Verdict::Decline(WRITE_QUEUE), "as before");
    }
}

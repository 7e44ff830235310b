//! The policy: the most severe of what the queues say.

use crate::config::{Config, Judges, Levels};
use hydra_api::{AdmissionPolicy, Load, OpenError, Operation, Outcome, Reason, Request, Verdict};
use std::time::Instant;

/// Too many records wait to be written.
pub const RING: Reason = Reason("ring_depth");
/// Too many reads wait for a permit.
pub const WAITING: Reason = Reason("waiting_depth");
/// The store works on too many statements.
pub const IN_FLIGHT: Reason = Reason("in_flight_depth");

/// Degrades and declines by how full the queues before the store are.
///
/// It keeps nothing between two requests: a verdict follows from the levels of the moment, and is lifted as soon as
/// they fall. The ladder of the whole node, which steps down slowly, is not touched by it.
#[derive(Debug)]
pub struct QueueDepth {
    ring: Levels,
    waiting: Levels,
    in_flight: Levels,
}

impl QueueDepth {
    /// A policy of these levels.
    ///
    /// # Errors
    /// [`OpenError`] when a level is out of its bounds, or requests would be declined before they are degraded.
    pub fn new(config: Config) -> Result<Self, OpenError> {
        Ok(Self {
            ring: config.ring.levels("ring")?,
            waiting: config.waiting.levels("waiting")?,
            in_flight: config.in_flight.levels("in_flight")?,
        })
    }
}

impl AdmissionPolicy for QueueDepth {
    fn admit(&self, request: &Request, load: &Load, _now: Instant) -> Verdict {
        self.ring
            .verdict(request.operation, load.ring, RING)
            .max(self.waiting.verdict(request.operation, load.waiting, WAITING))
            .max(self.in_flight.verdict(request.operation, load.in_flight, IN_FLIGHT))
    }

    /// Nothing was taken, so nothing is given back.
    fn settle(&self, _request: &Request, _outcome: &Outcome, _now: Instant) {}
}

impl Levels {
    /// A queue that does not exist (its `max` is 0) has no say.
    fn verdict(&self, operation: Operation, level: hydra_api::admission::Level, reason: Reason) -> Verdict {
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
    use crate::config::{InFlight, Ring, Waiting};
    use hydra_api::admission::Level;
    use hydra_api::{PeerId, Rung};

    fn load(ring: u32, waiting: u32, in_flight: u32) -> Load {
        let level = |used| Level { used, max: 100 };
        Load::new(level(ring), level(waiting), level(in_flight), Rung::Full)
    }

    fn verdict(config: Config, operation: Operation, load: Load) -> Verdict {
        let request = Request::new(operation, PeerId::new(b"peer").unwrap(), None, 0, b"key");
        QueueDepth::new(config).unwrap().admit(&request, &load, Instant::now())
    }

    #[test]
    fn the_ring_judges_writes_and_the_gate_judges_reads() {
        let of = |operation, load| verdict(Config::default(), operation, load);
        let short = Verdict::Degrade(Rung::Short);
        for write in [Operation::AddProvider, Operation::PutValue] {
            assert_eq!(of(write, load(49, 100, 100)), Verdict::Admit);
            assert_eq!(of(write, load(50, 0, 0)), short);
            assert_eq!(of(write, load(90, 0, 0)), Verdict::Decline(RING));
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
        let (ring, waiting) = (Ring { judges: Judges::Both, ..Ring::default() }, Waiting::default());
        let config =
            Config { ring, waiting: Waiting { judges: Judges::Both, ..waiting }, ..Config::default() };
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
        let never = Ring { degrade_percent: 0, decline_percent: 0, ..Ring::default() };
        let config = Config { ring: never, ..Config::default() };
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
        let ring = Ring { decline_percent: 101, ..Ring::default() };
        assert_eq!(key(Config { ring, ..Config::default() }), "ring.decline_percent");
    }

    #[test]
    fn part_of_a_queue_keeps_the_defaults_of_the_rest() {
        let table = serde_json::json!({ "ring": { "decline_percent": 80 } });
        let config: Config = serde_json::from_value(table).unwrap();
        assert_eq!(config.ring, Ring { decline_percent: 80, ..Ring::default() });
        assert!(serde_json::from_value::<Config>(serde_json::json!({ "ring": { "x": 1 } })).is_err());
    }
}

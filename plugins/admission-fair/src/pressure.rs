//! How much the node is pressed, from the load that policies are shown.

use crate::config::Config;
use hydra_api::admission::Level;
use hydra_api::{Load, Operation, Rung};

/// Requests that wait for the same thing: they have shares and a pressure of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Reads,
    Writes,
}

impl Lane {
    /// `None` for what needs no store.
    pub(crate) const fn of(operation: Operation) -> Option<Self> {
        match operation {
            Operation::FindNode | Operation::Ping => None,
            Operation::GetProviders | Operation::GetValue => Some(Self::Reads),
            Operation::AddProvider | Operation::PutValue => Some(Self::Writes),
        }
    }
}

/// What happens to requests of sources above their share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pressure {
    /// Nothing: the node can take all that comes.
    None,
    /// They are degraded.
    Some,
    /// They are declined, reads last.
    High,
}

/// The pressure on a lane, and what the share makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) pressure: Pressure,
    /// How full its queue is, in parts of a thousand.
    pub(crate) depth: u32,
    pub(crate) strain: Strain,
}

/// Whether the share is too high.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strain {
    /// It may grow.
    Calm,
    /// It holds.
    Holds,
    /// The queue is fuller than it gets while the share is right. A write queue empties slowly, so it still is for a
    /// while after a cut: the share is too high only if the queue does not empty.
    Queue,
    /// The node is above its peak, or the store has stalled; the queue does not tell.
    Rung,
}

impl Reading {
    pub(crate) fn of(lane: Lane, load: &Load, config: &Config) -> Self {
        let level = match lane {
            Lane::Reads => load.waiting,
            Lane::Writes => load.write_queue,
        };
        // A queue that does not exist has no say.
        let depth = if level.max == 0 { 0 } else { permille(level) };
        let (degrade, decline) = (config.degrade_percent * 10, config.decline_percent * 10);
        let by_depth = match depth {
            depth if depth >= decline => Pressure::High,
            depth if depth >= degrade => Pressure::Some,
            _ => Pressure::None,
        };
        let by_rung = match load.rung {
            Rung::Full => Pressure::None,
            Rung::Short => Pressure::Some,
            // Those above their share are served one rung below the others.
            _ => Pressure::High,
        };
        let pressure = by_depth.max(by_rung);
        // With a share that is right, those above it keep the queue at the threshold, and no one fills it beyond.
        let strain = if depth >= decline + (1_000 - decline) / 8 {
            Strain::Queue
        } else if load.rung >= Rung::CacheOnly {
            Strain::Rung
        } else if pressure == Pressure::None {
            Strain::Calm
        } else {
            Strain::Holds
        };
        Self { pressure, depth, strain }
    }
}

const fn permille(level: Level) -> u32 {
    if level.used >= level.max {
        return 1_000;
    }
    (level.used as u64 * 1_000 / level.max as u64) as u32
}

//! Whether the desk itself is well, for probes.

use crate::core::Core;
use crate::desk::Desk;
use crate::lock;
use std::time::Duration;

/// Whether the desk itself is well. It says nothing of how busy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// How long ago the load was last looked at, which happens ten times a second. A long time means that the runtime
    /// does not get to run its tasks.
    pub ticked: Duration,
    /// Whether every chore runs, or is about to be started again.
    pub chores_run: bool,
    /// For how long no store call has ended, all permits in use, when that is so long that the store counts as stalled
    /// (`peak.stall_ms`).
    pub stalled: Option<Duration>,
}

impl Desk {
    /// Whether the desk is well.
    pub fn health(&self) -> Health {
        let core = &self.core;
        let ticked = *lock(&core.ticked);
        Health {
            ticked: core.clock.now().saturating_duration_since(ticked),
            chores_run: core.is_closing() || self.chores.run(),
            stalled: core.ladder.stalled(),
        }
    }
}

impl Core {
    /// Notes that the load was looked at.
    pub(crate) fn note_tick(&self) {
        *lock(&self.ticked) = self.clock.now();
    }
}

//! The table of a queue depth policy in TOML.

use hydra_api::{OpenError, Rung};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Default of [`Config::write_queue`]: a queue that is half full has missed several flushes.
pub const WRITE_QUEUE_DEFAULT: WriteQueue =
    WriteQueue { judges: Judges::Writes, degrade_percent: 50, degrade_to: Rung::Short, decline_percent: 90 };
/// Default of [`Config::waiting`].
pub const WAITING_DEFAULT: Waiting =
    Waiting { judges: Judges::Reads, degrade_percent: 50, degrade_to: Rung::Short, decline_percent: 90 };
/// Default of [`Config::in_flight`]: a busy node uses all its permits, so that says nothing of an overload.
pub const IN_FLIGHT_DEFAULT: InFlight =
    InFlight { judges: Judges::Reads, degrade_percent: 0, degrade_to: Rung::Short, decline_percent: 0 };

/// `[[admission]] kind = "queue-depth"`: degrades and declines requests by the fill level of the queues before the store.
///
/// Only requests that may reach the store are judged. All keys can change while the node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The write queue of announcements.
    pub write_queue: WriteQueue,
    /// The reads that wait for a permit of the store gate.
    pub waiting: Waiting,
    /// The permits of the store gate in use: the store calls in flight.
    pub in_flight: InFlight,
}

impl Default for Config {
    fn default() -> Self {
        Self { write_queue: WRITE_QUEUE_DEFAULT, waiting: WAITING_DEFAULT, in_flight: IN_FLIGHT_DEFAULT }
    }
}

/// Which requests a queue judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Judges {
    /// GET_PROVIDERS and GET_VALUE.
    Reads,
    /// ADD_PROVIDER and PUT_VALUE.
    Writes,
    /// All four.
    Both,
    /// None.
    Nothing,
}

impl Judges {
    /// All of them, in the order of their discriminants.
    pub(crate) const ALL: [Self; 4] = [Self::Reads, Self::Writes, Self::Both, Self::Nothing];
}

impl Config {
    /// What is wrong with each of the queues.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        OpenError::all([
            self.write_queue.levels("write_queue").map(drop),
            self.waiting.levels("waiting").map(drop),
            self.in_flight.levels("in_flight").map(drop),
        ])
    }

    /// The levels of the write queue, the line of reads and the permits, or the key and what is wrong with its value.
    pub(crate) fn levels(&self) -> Result<[Levels; 3], OpenError> {
        Ok([
            self.write_queue.levels("write_queue")?,
            self.waiting.levels("waiting")?,
            self.in_flight.levels("in_flight")?,
        ])
    }
}

/// What a queue's levels lead to, whichever queue it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Levels {
    pub(crate) judges: Judges,
    pub(crate) degrade_percent: u32,
    pub(crate) degrade_to: Rung,
    pub(crate) decline_percent: u32,
}

/// One type per queue, because each has defaults of its own.
macro_rules! queue {
    ($(#[$doc:meta])* $queue:ident, $default:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $queue {
            /// Which requests this queue judges: `"reads"`, `"writes"`, `"both"` or `"nothing"`.
            pub judges: Judges,
            /// The fill level, in percent, from which requests are degraded; 0 for never. At most
            /// `decline_percent`, unless that is 0.
            #[schemars(range(max = 100))]
            pub degrade_percent: u32,
            /// The rung of the ladder to which requests are degraded.
            pub degrade_to: Rung,
            /// The fill level, in percent, from which requests are declined; 0 for never.
            #[schemars(range(max = 100))]
            pub decline_percent: u32,
        }

        impl Default for $queue {
            fn default() -> Self {
                $default
            }
        }

        impl $queue {
            /// The levels, or the key and what is wrong with its value.
            pub(crate) fn levels(self, name: &str) -> Result<Levels, OpenError> {
                let Self { judges, degrade_percent, degrade_to, decline_percent } = self;
                for (key, percent) in [("degrade", degrade_percent), ("decline", decline_percent)] {
                    if percent > 100 {
                        let message = format!("{percent} is not within 0 to 100");
                        return Err(OpenError::config(format!("{name}.{key}_percent"), message));
                    }
                }
                if decline_percent != 0 && degrade_percent > decline_percent {
                    let message = format!(
                        "requests are declined from {decline_percent} percent on, so none is degraded at {degrade_percent}"
                    );
                    return Err(OpenError::config(format!("{name}.degrade_percent"), message));
                }
                Ok(Levels { judges, degrade_percent, degrade_to, decline_percent })
            }
        }
    };
}
queue!(
    /// The write queue of announcements.
    WriteQueue, WRITE_QUEUE_DEFAULT
);
queue!(
    /// The reads that wait for a permit of the store gate.
    Waiting, WAITING_DEFAULT
);
queue!(
    /// The statements that the store is working on.
    InFlight, IN_FLIGHT_DEFAULT
);

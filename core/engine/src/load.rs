//! How loaded the node is, and on which rung of the ladder it stands.

mod effects;
mod knee;
mod ladder;
mod latency;
mod peak;
mod signals;

pub use knee::PermitState;
pub(crate) use knee::{Knee, Settings, Tick, Work};
pub(crate) use ladder::{Ladder, TICK};
pub use latency::Latency;
pub(crate) use latency::{Histogram, Pace};
pub(crate) use signals::{Calls, Demand, Pulse, Signal};

//! How loaded the node is, and on which rung of the ladder it stands.

mod effects;
mod ladder;
mod latency;
mod peak;
mod signals;

pub(crate) use ladder::{Ladder, TICK};
pub use latency::Latency;
pub(crate) use latency::{Histogram, Pace};
pub(crate) use signals::{Demand, Pulse};

//! The admission policies and what they say.

mod chain;
mod tally;

pub use chain::{Chain, Decision, Judged, NamedPolicy, PolicyMode, Ticket};
pub use tally::Verdicts;

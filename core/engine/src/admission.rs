//! The admission policies and what they say.

mod chain;
mod mode;
mod tally;

pub use chain::{Chain, Judged, NamedPolicy, Ticket};
pub use mode::PolicyMode;
pub use tally::Verdicts;

//! Leases: renews them, stops the head of a lease that is lost or about to end, and starts it again.
//!
//! The parts: `state` says what is held and what is due at which time (without I/O), `call` bounds the calls of the
//! allocator, `run` drives them, `heads` starts and stops real heads. [`LeaseView`](crate::observe::lease_view::LeaseView) shows them to operators.

mod call;
mod heads;
mod run;
mod state;

pub(crate) use heads::{HeadError, HeadParts, NodeHeads};
pub(crate) use run::{BeginError, LeaseKeeper};

#[cfg(test)]
mod tests;

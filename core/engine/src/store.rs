//! The store, and what stands before it: every call runs under a permit of the gate, and the breaker pauses a store that
//! fails.

mod backend;
mod breaker;
mod gate;
mod statement;

pub(crate) use backend::{Backend, Elapsed};
pub(crate) use gate::{Lane, Permit, ReadLine};
pub(crate) use statement::{Failure, WRITE_WAIT_MAX, gravest};

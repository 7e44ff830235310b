//! The memory of the process: how much it uses of its limit, what the node gives up near it, and profiles of the heap.
//!
//! `guard` uses all others, and reads the use with [`hydra_memory_usage`]; `view` is what operators see of them.

pub(crate) mod guard;
mod heap;
pub(crate) mod profiles;
mod step;
pub(crate) mod view;

pub use heap::{Heap, HeapSizes};
pub(crate) use step::Step;

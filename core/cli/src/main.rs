//! The program `hydra`: every plugin that comes with it, the node, and the load generator.

mod load;

use hydra_api::Registry;
use hydra_node::{Extras, Heap};
use std::process::ExitCode;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: hydra_heap::Allocator = hydra_heap::Allocator;

fn main() -> ExitCode {
    let mut registry = Registry::default();
    hydra_bundle::add_all(&mut registry);
    let extras = Extras { commands: vec![load::command()], heap: heap() };
    hydra_node::run_with(registry, extras, std::env::args_os())
}

/// What the allocator says of the heap.
#[cfg(feature = "jemalloc")]
fn heap() -> Option<Heap> {
    let sizes = || {
        hydra_heap::sizes().map(|sizes| hydra_node::HeapSizes {
            allocated: sizes.allocated,
            active: sizes.active,
            resident: sizes.resident,
        })
    };
    Some(Heap { profile: hydra_heap::profile, sizes })
}

/// The allocator of the system says nothing.
#[cfg(not(feature = "jemalloc"))]
fn heap() -> Option<Heap> {
    None
}

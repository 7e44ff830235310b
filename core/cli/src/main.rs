//! The program `hydra`: every plugin that comes with it, the node, and the load generator.

mod load;

use hydra_api::Registry;
use std::process::ExitCode;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: hydra_heap::Allocator = hydra_heap::Allocator;

fn main() -> ExitCode {
    let mut registry = Registry::default();
    hydra_bundle::add_all(&mut registry);
    hydra_node::run_with(registry, vec![load::command()], std::env::args_os())
}

//! The program `hydra`, its allocator included, with plugins that misbehave on purpose, for tests.

use hydra_api::Registry;
use hydra_integration_tests::policies::{Fatal, Panicking};
use hydra_integration_tests::stores::{Failing, Freezing, Shut, Slow};
use hydra_node::{Extras, Heap, HeapSizes};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: hydra_heap::Allocator = hydra_heap::Allocator;

fn main() -> ExitCode {
    let mut registry = Registry::default();
    hydra_bundle::add_all(&mut registry);
    registry.add::<Slow>().add::<Freezing>().add::<Failing>().add::<Shut>().add::<Panicking>().add::<Fatal>();
    let sizes = || {
        let hydra_heap::Sizes { allocated, active, resident } = hydra_heap::sizes()?;
        Ok(HeapSizes { allocated, active, resident })
    };
    let extras = Extras { commands: Vec::new(), heap: Some(Heap { profile: hydra_heap::profile, sizes }) };
    hydra_node::run_with(registry, extras, std::env::args_os())
}

//! The program `hydra` with plugins that misbehave on purpose, for tests.

use hydra_api::Registry;
use hydra_integration_tests::policies::{Fatal, Panicking};
use hydra_integration_tests::stores::{Failing, Freezing, Shut, Slow};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut registry = Registry::default();
    hydra_bundle::add_all(&mut registry);
    registry.add::<Slow>().add::<Freezing>().add::<Failing>().add::<Shut>().add::<Panicking>().add::<Fatal>();
    hydra_node::run(registry, std::env::args_os())
}

//! The program `hydra` with two more stores, for tests: one that is slow and one that can be frozen from outside.

use hydra_api::Registry;
use hydra_integration_tests::stores::{Freezing, Slow};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut registry = Registry::default();
    hydra_bundle::add_all(&mut registry);
    registry.add::<Slow>().add::<Freezing>();
    hydra_node::run(registry, std::env::args_os())
}

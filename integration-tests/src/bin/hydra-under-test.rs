//! The program `hydra` with more stores, for tests: one that is slow, one that can be frozen from outside, and one that
//! fails.

use hydra_api::Registry;
use hydra_integration_tests::stores::{Failing, Freezing, Slow};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut registry = Registry::default();
    hydra_bundle::add_all(&mut registry);
    registry.add::<Slow>().add::<Freezing>().add::<Failing>();
    hydra_node::run(registry, std::env::args_os())
}

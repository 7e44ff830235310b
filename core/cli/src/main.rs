//! The program `hydra`: every plugin that comes with it, and the node.

use hydra_api::Registry;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut registry = Registry::default();
    hydra_bundle::add_all(&mut registry);
    hydra_node::run(registry, std::env::args_os())
}

//! The program `hydra` with one policy and one store more.

use hydra_api::Registry;
use office_hours::{OfficeHours, ShortKeys};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut registry = Registry::default();
    hydra_bundle::add_all(&mut registry);
    registry.add::<OfficeHours>();
    registry.add::<ShortKeys>();
    hydra_node::run(registry, std::env::args_os())
}

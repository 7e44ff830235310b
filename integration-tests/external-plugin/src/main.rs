//! The program `hydra` with one policy more.

use hydra_api::Registry;
use office_hours::OfficeHours;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut registry = Registry::default();
    hydra_bundle::add_all(&mut registry);
    registry.add::<OfficeHours>();
    hydra_node::run(registry, std::env::args_os())
}

//! Files that cannot be written, and then can be again.

use hydra_conformance::outage::{self, Reads};
use hydra_store_fjall::{Config, Fjall};
use std::process::ExitCode;

fn main() -> ExitCode {
    outage::run::<Fjall>(Config::default, Reads::GoOn)
}

//! Files that cannot be written, and then can be again.

use hydra_conformance::outage::{self, Reads};
use hydra_store_sled::{Config, Sled};
use std::process::ExitCode;

fn main() -> ExitCode {
    outage::run::<Sled>(Config::default, Reads::MayFail)
}

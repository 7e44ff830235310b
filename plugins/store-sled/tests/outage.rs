//! Files that cannot be written, and then can be again.

use hydra_conformance::outage::{self, Reads};
use hydra_store_sled::{Config, Sled};
use std::process::ExitCode;

fn main() -> ExitCode {
    // A cache that holds next to nothing: pages are read from the file again, those too that cannot be.
    outage::run::<Sled>(|| Config { cache_mib: 0, ..Config::default() }, Reads::MayFail)
}

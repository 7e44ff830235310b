//! A process that is killed leaves a store that opens, with a beginning of what was written and the right count, and
//! damaged files are borne.

use hydra_conformance::crash::{Crash, run};
use hydra_store_sled::{Config, Sled};
use std::process::ExitCode;

fn main() -> ExitCode {
    run([Crash::of::<Sled>(Config { flush_interval_ms: 10, ..Config::default() }).in_order().counted()])
}

//! A process that is killed leaves a store that opens, with a beginning of what was written and the right count, and
//! damaged files are borne and noticed.

use hydra_conformance::crash::{Crash, run};
use hydra_store_sled::{Config, Sled};
use std::process::ExitCode;

fn main() -> ExitCode {
    let sled = Crash::of::<Sled>(Config { flush_interval_ms: 10, ..Config::default() });
    run([sled.in_order().counted().notices_damage()])
}

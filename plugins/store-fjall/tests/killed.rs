//! A process that is killed loses nothing that the store has acknowledged, and damaged files are borne.

use hydra_conformance::crash::{Crash, run};
use hydra_store_fjall::{Config, Fjall};
use std::process::ExitCode;

fn main() -> ExitCode {
    run([Crash::of::<Fjall>(Config::default()).counted()])
}

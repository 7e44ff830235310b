//! The rules of a store, put to this one.

use hydra_conformance::Place;
use hydra_store_memory::{Config, Memory};
use std::process::ExitCode;

fn main() -> ExitCode {
    let defaults = hydra_conformance::store::<Memory, _, _>(|| async { Place::with_defaults() });
    // Little room, but enough for the cases.
    let small = || async { Place::of(Config { mib_max: 24, ..Config::default() }) };
    hydra_conformance::run([defaults, hydra_conformance::store::<Memory, _, _>(small).named("24 MiB")])
}

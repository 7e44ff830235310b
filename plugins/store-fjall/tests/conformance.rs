//! The rules of a store, put to this one.

use hydra_conformance::Place;
use hydra_store_fjall::Fjall;
use std::process::ExitCode;

fn main() -> ExitCode {
    hydra_conformance::run([hydra_conformance::store::<Fjall, _, _>(|| async { Place::with_defaults() })])
}

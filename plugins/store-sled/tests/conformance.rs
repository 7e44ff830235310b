//! The rules of a store, put to this one.

use hydra_conformance::Place;
use hydra_store_sled::Sled;
use std::process::ExitCode;

fn main() -> ExitCode {
    hydra_conformance::run([hydra_conformance::store::<Sled, _, _>(|| async { Place::with_defaults() })])
}

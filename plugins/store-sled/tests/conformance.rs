//! The rules of a store, put to this one.

use hydra_conformance::Place;
use hydra_store_sled::{Config, Sled};
use std::process::ExitCode;

fn main() -> ExitCode {
    let full = || async { Place::of(Config { records_max: 5000, ..Config::default() }).full_within(7000) };
    hydra_conformance::run([
        hydra_conformance::store::<Sled, _, _>(|| async { Place::with_defaults() }),
        hydra_conformance::store::<Sled, _, _>(full).only("s17").named("full"),
        hydra_conformance::store::<Sled, _, _>(full).only("s23_a_full").named("full"),
        hydra_conformance::store::<Sled, _, _>(full).only("r13_what").named("full"),
    ])
}

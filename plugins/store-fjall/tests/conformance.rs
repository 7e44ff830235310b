//! The rules of a store, put to this one.

use hydra_conformance::Place;
use hydra_store_fjall::{Config, Fjall};
use std::process::ExitCode;

fn main() -> ExitCode {
    let full =
        || async { Place::of(Config { providers_per_key_max: 100, ..Config::default() }).full_within(1000) };
    hydra_conformance::run([
        hydra_conformance::store::<Fjall, _, _>(|| async { Place::with_defaults() }),
        hydra_conformance::store::<Fjall, _, _>(full).only("s17").named("full"),
        hydra_conformance::store::<Fjall, _, _>(full).only("s23_a_full").named("full"),
    ])
}

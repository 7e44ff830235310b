//! The rules of a store, put to this one.

use hydra_conformance::Place;
use hydra_store_memory::{Config, Memory};
use std::process::ExitCode;

fn main() -> ExitCode {
    let defaults = hydra_conformance::store::<Memory, _, _>(|| async { Place::with_defaults() });
    // Little room, but enough for the cases.
    let small = || async { Place::of(Config { mib_max: 24, ..Config::default() }) };
    let small = hydra_conformance::store::<Memory, _, _>(small).named("24 MiB");
    // Full in bytes, and full for one key.
    let bytes = || async { Place::of(Config { mib_max: 1, ..Config::default() }).full_within(50_000) };
    let bytes = hydra_conformance::store::<Memory, _, _>(bytes).only("s17").named("1 MiB");
    let of_a_key = Config { providers_per_key_max: 300, ..Config::default() };
    let key = move || {
        let place = Place::of(of_a_key.clone()).full_within(2000);
        async { place }
    };
    let key = hydra_conformance::store::<Memory, _, _>(key).only("s17").named("300 of a key");
    hydra_conformance::run([defaults, small, bytes, key])
}

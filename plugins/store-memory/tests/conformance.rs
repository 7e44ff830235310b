//! The rules of a store, put to this one.

use hydra_conformance::Place;
use hydra_store_memory::{Config, Memory};
use std::process::ExitCode;

fn main() -> ExitCode {
    let defaults = hydra_conformance::store::<Memory, _, _>(|| async { Place::with_defaults() });
    // Little room, but enough for the cases.
    let small = || async { Place::of(Config { mib_max: 48, ..Config::default() }) };
    let small = hydra_conformance::store::<Memory, _, _>(small).named("48 MiB");
    // Full in bytes, and full for one key.
    let bytes = |cases| {
        let place = || async { Place::of(Config { mib_max: 1, ..Config::default() }).full_within(50_000) };
        hydra_conformance::store::<Memory, _, _>(place).only(cases).named("1 MiB")
    };
    let key = |cases| {
        let of_a_key = Config { providers_per_key_max: 300, ..Config::default() };
        let place = move || {
            let place = Place::of(of_a_key.clone()).full_within(2000);
            async { place }
        };
        hydra_conformance::store::<Memory, _, _>(place).only(cases).named("300 of a key")
    };
    let full = [bytes("s17"), bytes("s23_a_full"), bytes("r13_what"), key("s17"), key("s23_a_full")];
    hydra_conformance::run([defaults, small].into_iter().chain(full))
}

//! The rules of an id allocator, put to this one.

use hydra_conformance::{Place, ids, run};
use hydra_ids_balanced::Balanced;
use std::process::ExitCode;

fn main() -> ExitCode {
    run([ids::<Balanced, _, _>(|| async { Place::with_defaults() })])
}

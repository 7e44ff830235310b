//! The rules of an admission policy, put to this one: a process that has more than its limit, whose writes are
//! declined.

use hydra_admission_memory::{Config, Judges, Memory};
use hydra_api::Operation;
use hydra_conformance::{Place, admission, run};
use std::process::ExitCode;

hydra_conformance::count_allocations!();

fn main() -> ExitCode {
    let config = Config { limit_mib: 1, judges: Judges::Writes, ..Config::default() };
    let place = move || async move { Place::of(config).asking_to(Operation::AddProvider) };
    run([admission::<Memory, _, _>(place)])
}

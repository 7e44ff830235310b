//! The rules of an admission policy, put to this one: without a memory of known providers, so that one peer can be
//! declined.

use hydra_admission_hot_key::{Config, HotKey, Providers};
use hydra_api::Operation;
use hydra_conformance::{Place, admission, run};
use std::process::ExitCode;

hydra_conformance::count_allocations!();

fn main() -> ExitCode {
    let providers = Providers { new_per_hour_max: 500, ..Providers::default() };
    let config = Config { providers, known_max: 0, ..Config::default() };
    let place = move || async move { Place::of(config).asking_to(Operation::AddProvider) };
    run([admission::<HotKey, _, _>(place)])
}

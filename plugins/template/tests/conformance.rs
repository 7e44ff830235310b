//! The rules of an admission policy, put to this one.

use hydra_api::{Load, Rung};
use hydra_conformance::{Place, admission, run};
use hydra_template::EarlyDecline;
use std::process::ExitCode;

hydra_conformance::count_allocations!();

fn main() -> ExitCode {
    let mut load = Load::IDLE;
    load.rung = Rung::Stale;
    run([admission::<EarlyDecline, _, _>(move || async move { Place::with_defaults().under(load) })])
}

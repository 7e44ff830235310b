//! The rules of an admission policy, put to this one.

use hydra_admission_queue_depth::QueueDepth;
use hydra_api::Load;
use hydra_api::admission::Level;
use hydra_conformance::{Place, admission, run};
use std::process::ExitCode;

hydra_conformance::count_allocations!();

fn main() -> ExitCode {
    let mut load = Load::IDLE;
    load.waiting = Level { used: 90, max: 100 };
    run([admission::<QueueDepth, _, _>(move || async move { Place::with_defaults().under(load) })])
}

//! Faults of real servers, each with a whole node under load: what its clients and its operator notice, and what is lost.
//!
//! The servers are real, the fault is real, and requests go on before it, meanwhile and afterwards. `benches/faults.rs` runs the same
//! scenarios for longer, one after the other, and prints their figures.

mod announcer;
mod cluster;
mod disk;
mod figures;
mod finder;
mod form;
mod link;
mod log;
mod names;
mod postgres;
mod redis;
mod run;
mod scenario;
mod stranger;
mod watch;
mod way;

use form::{Bounds, Form};
use hydra_conformance::servers::{Postgres, Redis};
use hydra_integration_tests::foreign::required;
use libtest_mimic::{Arguments, Failed, Trial};
use scenario::Scenario;
use std::process::ExitCode;
use std::time::Duration;

/// Short, and generous: several run at a time, on a machine that has other work.
const FORM: Form = Form {
    per_second: 100.0,
    finds_per_second: 20,
    before: Duration::from_secs(2),
    during: Duration::from_secs(4),
    calm: Duration::from_secs(2),
    look: Duration::from_millis(250),
    // On a machine that is busy a read takes long also when nothing is wrong with the store: what is left is that it fails or
    // stands still.
    settings: &[
        "engine.short={ read_p90_ms = 0, denied_percent = 0, waiting_percent = 0 }",
        "engine.stale={ read_p90_ms = 0, denied_percent = 0, waiting_percent = 0 }",
        "engine.peak.stall_ms=2000",
        "store.connect_timeout_ms=5000",
        "store.statement_timeout_ms=5000",
    ],
    bounds: Bounds {
        find_p99: None,
        back: Duration::from_secs(20),
        late_after: Duration::from_secs(30),
        repeats: 5,
        grown_bytes: 64 << 20,
        grown_descriptors: 64,
    },
};
/// Scenarios mostly wait.
const AT_A_TIME: usize = 4;

fn main() -> ExitCode {
    let of = |scenarios: &[Scenario], is_installed: bool| -> Vec<Trial> {
        let trial = |scenario: &Scenario| {
            let (scenario, is_there) = (*scenario, is_installed && scenario.is_permitted());
            Trial::test(scenario.name(), move || test(&scenario)).with_ignored_flag(!is_there && !required())
        };
        scenarios.iter().map(trial).collect()
    };
    let (postgres, redis) = (Postgres::installed().is_some(), Redis::installed().is_some());
    let trials =
        [of(&postgres::SCENARIOS, postgres), of(&redis::SCENARIOS, redis), of(&cluster::SCENARIOS, redis)];
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_A_TIME);
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}

fn test(scenario: &Scenario) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(run::run(scenario, &FORM))?;
    let complaints = figures.complaints(scenario, &FORM.bounds);
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n").into()) }
}

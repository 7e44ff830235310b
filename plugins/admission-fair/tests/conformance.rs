//! The rules of an admission policy, put to this one: shares of a fixed size, under a pressure at which writes are
//! declined.

use hydra_admission_fair::{Config, Fair};
use hydra_api::admission::Level;
use hydra_api::{Load, Operation, Rung};
use hydra_conformance::{Place, Suite, admission, run};
use std::process::ExitCode;

hydra_conformance::count_allocations!();

/// A host and a network have so many shares.
fn suite(name: &str, operation: Operation, load: Load, shares: [u32; 2]) -> Suite {
    let [host_shares, network_shares] = shares;
    let config = Config {
        share_per_s_min: 100,
        share_per_s_max: 100,
        host_shares,
        network_shares,
        ..Config::default()
    };
    admission::<Fair, _, _>(move || {
        let place = Place::of(config).asking_to(operation).under(load);
        async { place }
    })
    .named(name)
}

fn main() -> ExitCode {
    let mut full_queue = Load::IDLE;
    full_queue.write_queue = Level { used: 30, max: 100 };
    let mut above_peak = Load::IDLE;
    above_peak.rung = Rung::RoutingOnly;
    run([
        suite("writes", Operation::AddProvider, full_queue, [2, 4]),
        suite("values", Operation::PutValue, full_queue, [1, 1]),
        suite("reads", Operation::GetProviders, above_peak, [2, 4]),
    ])
}

//! The rules of an admission policy, put to this one.

use hydra_api::{Operation, UnixSeconds};
use hydra_conformance::{Place, admission, run};
use office_hours::{Config, OfficeHours};
use std::process::ExitCode;

hydra_conformance::count_allocations!();

/// A place that is open for one hour only, in which the suite asks nothing.
async fn closed() -> Place {
    let in_hours = |hours: u32| ((UnixSeconds::now().0 / 3600 + hours) % 24) as u8;
    let config = Config { opens_at_hour: in_hours(8), closes_at_hour: in_hours(9), ..Config::default() };
    Place::of(config).asking_to(Operation::AddProvider)
}

fn main() -> ExitCode {
    run([admission::<OfficeHours, _, _>(closed)])
}

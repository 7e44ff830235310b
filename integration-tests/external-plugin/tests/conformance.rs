//! The rules of an admission policy and of a store, put to these.

use hydra_api::{Operation, Registry, UnixSeconds};
use hydra_conformance::{Place, admission, run, store};
use office_hours::{Config, OfficeHours, ShortKeys};
use std::process::ExitCode;

hydra_conformance::count_allocations!();

/// A place that is open for one hour only, in which the suite asks nothing.
async fn closed() -> Place {
    let in_hours = |hours: u32| ((UnixSeconds::now().0 / 3600 + hours) % 24) as u8;
    let config = Config { opens_at_hour: in_hours(8), closes_at_hour: in_hours(9), ..Config::default() };
    Place::of(config).asking_to(Operation::AddProvider)
}

/// A place that is always open, for few announcements.
async fn busy() -> Place {
    let config = Config { opens_at_hour: 0, closes_at_hour: 24, hourly_max: 100, ..Config::default() };
    Place::of(config).asking_to(Operation::AddProvider)
}

/// A place with the stores of hydra, to choose the inner one from.
async fn around_memory() -> Place {
    let mut registry = Registry::default();
    hydra_bundle::add_all(&mut registry);
    Place::with_defaults().with_plugins(registry)
}

fn main() -> ExitCode {
    run([
        admission::<OfficeHours, _, _>(closed).named("closed"),
        admission::<OfficeHours, _, _>(busy).named("busy"),
        store::<ShortKeys, _, _>(around_memory),
    ])
}

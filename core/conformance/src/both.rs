//! The suite of a store: the cases of its provider records and of its value records.

use crate::place::Place;
use crate::suite::{Alone, Suite, Threads};
use hydra_api::{Plugin, Store};

/// The suite of a store, and of the value records that it keeps. `place` makes a fresh place for each case.
///
/// The store must have room for 100,000 records.
pub fn store<P, F, Fut>(place: F) -> Suite
where
    P: Plugin<Role = Store>,
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Place> + Send + 'static,
{
    let cases = crate::store::cases().into_iter().chain(crate::values::cases()).collect();
    Suite::of::<P, F, Fut>(cases, place, Alone::No, Threads::Two)
}

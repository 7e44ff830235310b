//! The suites that every hydra plugin must pass, one case per numbered rule of its trait, and stores that misbehave
//! on purpose.
//!
//! A plugin runs its suite from `tests/conformance.rs`, which its manifest names with `harness = false`:
//!
//! ```ignore
//! use hydra_conformance::Place;
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     hydra_conformance::run([hydra_conformance::store::<MyStore>(|| async { Place::with_defaults() })])
//! }
//! ```
//!
//! Every rule is a test of its own (`my-store::s1_an_insert_is_idempotent`), to be picked with the usual arguments of
//! a test binary. A failure quotes the rule. A rule that does not apply is shown as ignored, never as passed.
//!
//! - [`store()`], [`admission()`] and [`ids()`] are the suites, that of a store with the rules of [`values`] for value records; a [`Place`] says where and with which table the plugin is opened.
//! - [`crash`] kills the process of a store that keeps files, and damages them.
//! - [`outage`] lets no file of it be written for a while.
//! - [`doubles`] are stores that misbehave, for tests of what uses a store.
//! - [`given`] has keys, peers and records, and a source of chance whose seed a failure tells.
//!
//! The suites are tested themselves: for each rule there are plugins that break it and no other, and the case of that
//! rule must find each of them out (`tests/sabotage`, `tests/sabotage_admission`).

pub mod admission;
mod both;
mod check;
pub mod crash;
pub mod doubles;
pub mod given;
pub mod ids;
pub mod outage;
mod place;
pub mod published;
mod reconfigure;
pub mod servers;
pub mod store;
mod suite;
mod tree;
pub mod values;

pub use admission::admission;
pub use both::store;
pub use check::Broken;
pub use ids::ids;
pub use place::Place;
pub use suite::{Conclusion, Finding, Rule, Suite, run};

#[doc(hidden)]
pub use stats_alloc;

/// Makes the allocations of a test binary count, so that rules A2 and A3 are measured to the byte.
///
/// Call it once at the top of `tests/conformance.rs`. Without it, A2 looks at the memory of the whole process, and
/// the case on allocations is ignored.
#[macro_export]
macro_rules! count_allocations {
    () => {
        #[global_allocator]
        static COUNTED: &$crate::stats_alloc::StatsAlloc<::std::alloc::System> =
            &$crate::stats_alloc::INSTRUMENTED_SYSTEM;
    };
}

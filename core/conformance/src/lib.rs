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

pub mod admission;
mod check;
pub mod doubles;
pub mod given;
pub mod ids;
mod place;
pub mod store;
mod suite;

pub use admission::admission;
pub use check::Broken;
pub use ids::ids;
pub use place::Place;
pub use store::store;
pub use suite::{Rule, Suite, run};

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

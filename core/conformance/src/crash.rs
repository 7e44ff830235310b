//! What a store of files must bear: the kill of its process, and damage to any file.
//!
//! The test binary runs itself again as the process that is killed, so its `main` does nothing before the call of
//! [`run`], and its manifest names it with `harness = false`:
//!
//! ```no_run
//! use hydra_conformance::crash::{Crash, run};
//! use std::process::ExitCode;
//! # use hydra_store_memory::Memory as MyStore;
//!
//! fn main() -> ExitCode {
//!     run([Crash::of::<MyStore>(serde_json::json!({})).counted()])
//! }
//! ```
//!
//! - **Kill.** A child inserts batch after batch and reports each that was acknowledged; after some of them it gets
//!   SIGKILL. Then the store must open, and hold each record of each batch either as it was inserted or not at all (rule
//!   S14), and all of a batch that was acknowledged before the [window](hydra_api::Durability::SurvivesRestart) of the
//!   profile (rule S13). So it is with the value records that each batch puts, and the one that each replaces, if the store keeps any (rules
//!   R9 and R10). What it holds then, no later kill takes away. Seven rounds, at moments that follow from a seed
//!   that a failure tells (`TEST_SEED`).
//! - **Damage.** Each file of a store that was closed is cut, emptied, overwritten as a whole or in part, changed in one byte or removed. Then
//!   the store must open, or fail as [corrupt](hydra_api::OpenErrorKind::Corrupt); it must not hang, abort or return what was never
//!   inserted; a call that finds damage fails as [corrupt](hydra_api::StoreErrorKind::Corrupt), or says so of the keys that it concerns,
//!   and the store must open again after it. One that is open takes records. A store that [notices damage](Crash::notices_damage) after a clean stop returns
//!   everything, or moves its files aside, or fails as corrupt.
//! - **A look at damage.** The same files, and [`Purpose::Use`]: the store must open and return some of what was inserted, or
//!   nothing but errors, or fail as corrupt, and move nothing aside in any case. One that notices damage returns everything that was
//!   inserted, or fails as corrupt, at the open or at a call, and leaves every file as it is. Only a node sets damaged records aside and begins empty.

mod child;
mod damage;
mod kill;
mod play;
mod values;

use crate::check::{Broken, Outcome};
use hydra_api::{OpenError, Plugin, ProviderStore, Purpose, Registry, Scope, Store, Value};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// A store that is killed and damaged.
#[derive(Debug, Clone)]
pub struct Crash {
    registry: Registry,
    kind: &'static str,
    table: Value,
    order: Order,
    count: Count,
    notice: Notice,
    /// Files of the store that are damaged; of more, as many of them.
    files_max: usize,
    open_max: Duration,
}

/// What a kill may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Any of the records that may be lost.
    Any,
    /// The last batches, each of them whole.
    Last,
}

/// How right the count is after a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    /// As rule S11 has it.
    Near,
    /// To the record.
    Right,
}

/// What a store notices of damage to its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    /// It may take some damage for a write that a crash has cut short, and lose records in silence.
    Perhaps,
    /// All damage after a clean stop.
    AfterCleanStop,
}

impl Crash {
    /// A store with this table: a value of its config struct, or `serde_json::json!({ … })`. Each test has a data directory of its own.
    ///
    /// # Panics
    /// When the table has no form in JSON.
    pub fn of<P: Plugin<Role = Store>>(table: impl Serialize) -> Self {
        let table = match serde_json::to_value(table) {
            Ok(table) => table,
            Err(cause) => panic!("a plugin's table must have a form in JSON: {cause}"),
        };
        let mut registry = Registry::default();
        registry.add::<P>();
        Self {
            registry,
            kind: P::KIND,
            table,
            order: Order::Any,
            count: Count::Near,
            notice: Notice::Perhaps,
            files_max: 32,
            open_max: Duration::from_secs(120),
        }
    }

    /// Demands that a kill takes nothing but the last batches, each whole: the store writes them in order, each in one
    /// piece.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        self.order = Order::Last;
        self
    }

    /// Demands that the count is right to the record after a kill.
    #[must_use]
    pub fn counted(mut self) -> Self {
        self.count = Count::Right;
        self
    }

    /// Demands that damage to any file of a store that was closed is noticed, so that no record is lost in silence.
    #[must_use]
    pub fn notices_damage(mut self) -> Self {
        self.notice = Notice::AfterCleanStop;
        self
    }

    /// Damages this many files at most, 32 unless told otherwise; of more, evenly chosen ones.
    #[must_use]
    pub fn files_max(mut self, files: usize) -> Self {
        self.files_max = files;
        self
    }

    /// Gives a damaged store this long to open and answer, two minutes unless told otherwise: one that takes longer has hung.
    #[must_use]
    pub fn open_max(mut self, time: Duration) -> Self {
        self.open_max = time;
        self
    }

    async fn open(&self, data_dir: &Path) -> Result<Arc<dyn ProviderStore>, OpenError> {
        self.open_for(Purpose::Serve, data_dir).await
    }

    async fn open_for(&self, purpose: Purpose, data_dir: &Path) -> Result<Arc<dyn ProviderStore>, OpenError> {
        let scope = Scope::new(data_dir).with_purpose(purpose);
        match self.registry.find::<Store>(self.kind) {
            Some(entry) => entry.open(self.table.clone(), &scope).await,
            None => Err(OpenError::config("kind", "the plugin is not known")),
        }
    }

    fn trials(self, number: usize) -> [Trial; 3] {
        let trial = |name: &str, test: fn(&Self, usize) -> Outcome, of: Self| {
            Trial::ignorable_test(format!("{}::{name}", of.kind), move || match test(&of, number) {
                Ok(crate::check::Kept::Shown) => Ok(Completion::Completed),
                Ok(crate::check::Kept::NotApplicable(why)) => Ok(Completion::ignored_with(why)),
                Err(how) => Err(Failed::from(how.to_string())),
            })
        };
        [
            trial("s13_s14_kill_9_takes_nothing_that_must_be_there", kill::test, self.clone()),
            trial("damage_to_any_file_is_borne", damage::test, self.clone()),
            trial("damage_is_left_as_it_is_by_a_look", damage::test_of_looks, self),
        ]
    }
}

/// Runs these as the tests of this binary, with the arguments that every test binary takes; or plays the part of a child.
pub fn run(crashes: impl IntoIterator<Item = Crash>) -> ExitCode {
    let crashes: Vec<_> = crashes.into_iter().collect();
    if let Some(part) = child::Part::of_this_process() {
        return match crashes.get(part.number) {
            Some(crash) => play::play(crash, &part),
            None => ExitCode::FAILURE,
        };
    }
    let trials = crashes.into_iter().enumerate().flat_map(|(number, crash)| crash.trials(number));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn in_runtime<T>(future: impl Future<Output = T>) -> Result<T, Broken> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| Broken::new(format!("no runtime: {cause}")))?;
    let output = runtime.block_on(future);
    // What a damaged store left behind may never return.
    runtime.shutdown_background();
    Ok(output)
}

fn failed(what: &str) -> impl Fn(std::io::Error) -> Broken {
    move |cause| Broken::new(format!("{what}: {cause}"))
}

//! `hydra store`: what it prints, what it changes, and how it goes on after an interruption, over real stores.

#![allow(clippy::unwrap_used, reason = "this is a test")]

mod cli;
mod copy;
mod damaged;
mod import;
mod records;
mod stores;
mod wrong;

use hydra_conformance::servers::{self, Postgres, Redis};
use libtest_mimic::{Arguments, Trial};
use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;

/// The servers that a test needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Postgres,
    All,
}

type Test = fn() -> Pin<Box<dyn Future<Output = ()>>>;

fn main() -> ExitCode {
    let is_required = servers::required();
    let has = |needs| match needs {
        Needs::Nothing => true,
        Needs::Postgres => Postgres::installed().is_some(),
        Needs::All => Postgres::installed().is_some() && Redis::installed().is_some(),
    };
    let trials: [(&str, Needs, Test); 11] = [
        ("what_a_node_took_is_printed_and_deleted", Needs::Nothing, || Box::pin(records::took())),
        ("stats_check_and_migrate_tell_of_the_store", Needs::Nothing, || Box::pin(records::about())),
        ("a_check_and_a_migration_of_postgres_do_what_they_say", Needs::Postgres, || {
            Box::pin(records::migrate())
        }),
        ("a_copy_over_four_kinds_keeps_every_record", Needs::All, || Box::pin(copy::four_kinds())),
        ("a_copy_that_is_killed_goes_on", Needs::Nothing, || Box::pin(copy::killed())),
        ("a_copy_that_is_ended_among_value_records_goes_on", Needs::Nothing, || {
            Box::pin(copy::killed_among_values())
        }),
        ("a_store_without_room_stops_a_copy", Needs::Nothing, || Box::pin(copy::no_room())),
        ("an_import_that_is_killed_goes_on_and_counts_bad_rows", Needs::Postgres, || {
            Box::pin(import::killed())
        }),
        ("damaged_records_are_left_as_they_are", Needs::Nothing, || Box::pin(damaged::left_alone())),
        ("each_wrong_use_is_one_line_and_its_exit_code", Needs::Nothing, || Box::pin(wrong::uses())),
        ("a_server_that_is_away_is_exit_code_3", Needs::Nothing, || Box::pin(wrong::away())),
    ];
    let trials = trials.into_iter().map(|(name, needs, test)| {
        let trial = Trial::test(name, move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(test());
            Ok(())
        });
        trial.with_ignored_flag(!has(needs) && !is_required)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

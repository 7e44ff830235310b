//! Redis over PostgreSQL, with real servers that are killed, stopped and emptied.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cases;

use hydra_conformance::servers::{self, Postgres, Redis};
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

fn trial<F: Future<Output = ()> + 'static>(name: &str, case: fn() -> F) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(case());
        Ok(())
    })
}

fn main() -> ExitCode {
    let is_required = servers::required();
    let is_absent = (Redis::installed().is_none() || Postgres::installed().is_none()) && !is_required;
    let trials = [
        trial("config_tiered_toml_is_opened", cases::file),
        trial("without_redis_records_are_read_and_written_and_redis_is_used_again", cases::redis_killed),
        trial("a_redis_that_is_emptied_hides_nothing", cases::redis_emptied),
        trial("a_redis_that_is_away_at_the_start_is_used_once_it_is_there", cases::redis_late),
        trial("without_postgres_keys_that_redis_has_complete_are_answered", cases::postgres_stopped),
        trial("a_node_reads_at_once_what_another_has_written", cases::two_nodes),
    ];
    let trials = trials.into_iter().map(|trial| trial.with_ignored_flag(is_absent)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

//! What the store does while servers fail in various ways: errors at once or in bounded time, and all is well again after
//! the cause has gone, without a restart.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;
mod figures;
mod files;
mod login;
mod memory;
mod one_server;
mod sentinel;
mod shop;
mod values;

use hydra_conformance::servers::{self, Redis as Server};
use hydra_store_redis::Scripts;
use libtest_mimic::{Arguments, Completion, Trial};
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

fn trial<F: Future<Output = ()> + 'static>(name: &str, case: fn() -> F) -> Trial {
    trial_unless(|| None, name, case)
}

/// A case that is ignored for a reason, if the server that is there gives one.
fn trial_unless<F: Future<Output = ()> + 'static>(
    lack: fn() -> Option<&'static str>,
    name: &str,
    case: fn() -> F,
) -> Trial {
    Trial::ignorable_test(name, move || {
        if let Some(lack) = lack() {
            return Ok(Completion::ignored_with(lack));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(case());
        Ok(Completion::Completed)
    })
}

/// A case that reads its log.
fn logged(name: &str, case: fn(&Path) -> Pin<Box<dyn Future<Output = ()> + '_>>) -> Trial {
    Trial::test(name, move || {
        let log = tempfile::NamedTempFile::new()?;
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Arc::new(log.reopen()?));
        // The store's tasks run on this thread.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let _guard = tracing::subscriber::set_default(subscriber.finish());
        runtime.block_on(case(log.path()));
        Ok(())
    })
}

fn is_before_7() -> bool {
    Server::version(&shop::program()).unwrap() < (7, 0)
}

fn lacks_expire_options() -> Option<&'static str> {
    is_before_7().then_some("without scripts the store needs Redis 7.0 or later")
}

fn lacks_slow_loading() -> Option<&'static str> {
    is_before_7().then_some("Redis before 7.0 answers nobody while it loads little data")
}

fn has_expire_options() -> Option<&'static str> {
    (!is_before_7()).then_some("the server is not of a version before 7.0")
}

fn lacks_tls() -> Option<&'static str> {
    (!Server::has_tls(&shop::program())).then_some("the server is built without TLS")
}

fn main() -> ExitCode {
    // An event that a thread without a subscriber comes by first is switched off for the others, which read their logs.
    let sink = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
    tracing::subscriber::set_global_default(sink).unwrap();
    let is_absent = Server::installed().is_none() && !servers::required();
    let trials = [
        trial("a_server_that_is_silent_is_given_up", one_server::silent),
        trial("a_server_that_freezes_at_any_step_of_the_start_ends_it_in_time", one_server::frozen_start),
        trial("a_frozen_server_fails_calls_in_time_and_gives_no_foreign_answer", one_server::frozen),
        trial("paused_clients_fail_in_time", one_server::paused),
        trial("a_server_that_was_killed_has_what_it_acknowledged", one_server::killed),
        trial_unless(
            lacks_slow_loading,
            "a_server_that_loads_its_data_is_unavailable_and_hides_no_record",
            one_server::loading,
        ),
        trial("a_server_that_a_script_holds_up_is_overloaded", one_server::busy),
        trial("connections_that_the_server_closes_are_replaced", one_server::closes_idle_connections),
        trial("scripts_that_were_flushed_are_loaded_again", one_server::flushed_scripts),
        trial("a_master_that_becomes_a_replica_is_unavailable", one_server::demoted),
        trial("the_first_of_several_hosts_that_is_a_master_is_used", one_server::several_hosts),
        trial("what_is_written_to_an_empty_replica_is_found", one_server::empty_replica),
        trial("a_server_that_cannot_persist_serves_reads", one_server::cannot_persist),
        trial("full_memory_drops_new_records_and_serves_reads", || memory::full(Scripts::Auto)),
        trial_unless(lacks_expire_options, "full_memory_drops_new_records_without_scripts", || {
            memory::full(Scripts::Off)
        }),
        trial("full_memory_is_purged", memory::full_is_purged),
        trial("half_a_record_reads_as_none", memory::half_a_record),
        trial("all_keys_that_were_removed_come_back", memory::removed_keys),
        trial("a_changed_layout_is_refused", memory::changed_layout),
        trial("an_acl_user_needs_its_own_keys_alone", login::acl),
        trial("an_error_of_the_login_holds_no_secret", login::wrong_password),
        trial("a_changed_password_is_taken_up", login::rotated_password),
        trial_unless(lacks_expire_options, "a_user_without_scripts_does_without", login::no_scripts),
        trial_unless(has_expire_options, "a_server_before_7_0_is_refused_without_scripts", login::too_old),
        trial_unless(lacks_tls, "tls_is_verified", login::tls),
        trial("commands_are_measured_by_operation", figures::measured),
        trial("errors_are_counted_by_the_first_word_of_the_reply", figures::errors_by_prefix),
        trial("a_server_that_is_killed_is_down_and_connected_to_again", figures::killed),
        trial("a_server_that_falls_silent_is_a_timeout", figures::silent),
        trial("memory_is_that_of_the_server", figures::memory),
        trial("a_user_who_may_not_ask_for_the_memory_does_without", figures::forbidden_memory),
        trial("a_dead_master_costs_its_own_keys", cluster::dead_master),
        trial("a_frozen_master_costs_its_own_keys", cluster::frozen_master),
        trial("what_its_caller_gives_up_is_measured", figures::given_up),
        trial_unless(lacks_slow_loading, "a_loading_server_is_not_told_as_dropped_calls", figures::loading),
        trial("nothing_is_written_by_a_look", one_server::looked_at),
        trial("what_is_written_to_a_server_that_came_back_empty_is_found_by_all", one_server::emptied),
        trial("a_failover_is_followed", cluster::failover),
        trial("slots_on_their_way_are_followed", cluster::moving_slots),
        logged("a_server_that_stalls_now_and_then_does_not_fill_the_log", |log| {
            Box::pin(one_server::stalls_now_and_then(log))
        }),
        logged("a_dead_node_that_takes_a_slot_over_is_logged_once", |log| {
            Box::pin(cluster::dead_joining_node(log))
        }),
        logged("a_slot_that_no_master_has_is_logged_and_counted", |log| {
            Box::pin(cluster::unserved_slot(log))
        }),
        trial("config_redis_toml_is_opened", files::standalone),
        trial("config_redis_cluster_toml_is_opened", files::of_cluster),
        trial("a_replica_that_the_sentinels_promote_is_followed", sentinel::promoted),
        trial_unless(
            lacks_slow_loading,
            "a_replica_that_is_promoted_is_followed_while_the_master_loads",
            sentinel::promoted_beside_a_loading_master,
        ),
    ];
    let trials =
        trials.into_iter().chain(values::trials()).map(|trial| trial.with_ignored_flag(is_absent)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

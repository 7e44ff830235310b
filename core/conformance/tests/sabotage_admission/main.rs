//! As in `tests/sabotage`, for admission policies: in a binary of its own, as some cases measure the whole process.

#[path = "../sabotage/verdict.rs"]
mod verdict;

mod sabotaged;

use hydra_api::{Load, Rung};
use hydra_conformance::{Place, Suite, admission};
use libtest_mimic::{Arguments, Trial};
use sabotaged::{Config, Sabotage, Sabotaged, Sort};
use std::process::ExitCode;
use verdict::{caught, honest};

hydra_conformance::count_allocations!();

const A1: &str = "a1_what_never_started_is_given_back";
const A4: &str = "a4_a_now_that_goes_back_does_no_harm";
const A4_CLOCK: &str = "a4_no_clock_is_read";
const A5: &str = "a5_a_decline_takes_nothing";
const A6: &str = "a6_many_threads_admit_no_more_than_one";
const A7: &str = "a7_every_reason_is_declared";
const RECONFIGURE: &str = "a_changed_table_is_taken_up_whole_or_not_at_all";

/// Each sabotage, what the policy goes by, and the case that must find it out.
const TABLE: &[(Sabotage, Sort, &str)] = &[
    (Sabotage::TakesUnknownKeys, Sort::Budget, "an_unknown_key_of_the_table_is_refused"),
    (Sabotage::ReconfigurePanics, Sort::Budget, RECONFIGURE),
    (Sabotage::ReconfigureTakesUnknownKeys, Sort::Budget, RECONFIGURE),
    (Sabotage::ReconfigureDoesNotName, Sort::Budget, RECONFIGURE),
    (Sabotage::ReconfigureTakesAPart, Sort::Budget, RECONFIGURE),
    (Sabotage::ReconfigureRefusesItsOwn, Sort::Budget, RECONFIGURE),
    (Sabotage::A1GivesNothingBack, Sort::Budget, A1),
    (Sabotage::A1GivesTheLastBack, Sort::Budget, "a1_tokens_come_back_in_any_order"),
    (Sabotage::A1LosesWhenIdle, Sort::Load, A1),
    (Sabotage::A2RemembersAll, Sort::Budget, "a2_a_million_peers_leave_memory_flat"),
    (Sabotage::A3Allocates, Sort::Budget, "a3_a_decision_allocates_nothing"),
    (Sabotage::A3SlowAfterAMillion, Sort::Budget, "a3_a_decision_costs_the_same_after_a_million_peers"),
    (Sabotage::A4ReadsAClock, Sort::Budget, A4_CLOCK),
    (Sabotage::A4ReadsAClock, Sort::Load, A4_CLOCK),
    (Sabotage::A4NeverAgain, Sort::Budget, A4_CLOCK),
    (Sabotage::A4BackIsNew, Sort::Budget, A4),
    (Sabotage::A4BackIsTheEnd, Sort::Budget, A4),
    (Sabotage::A4BackIsTheEnd, Sort::Load, A4),
    (Sabotage::A4BackAdmits, Sort::Load, A4),
    (Sabotage::A5DeclinesCost, Sort::Budget, A5),
    (Sabotage::A5DeclinesCost, Sort::Load, A5),
    (Sabotage::A6LosesCounts, Sort::Budget, A6),
    (Sabotage::A6GivesNothingBackElsewhere, Sort::Budget, A6),
    (Sabotage::A7AnotherReason, Sort::Budget, A7),
    (Sabotage::A7BytesOfAPeer, Sort::Budget, A7),
    (Sabotage::A7ReasonsChange, Sort::Budget, A7),
    (Sabotage::A7TooMany, Sort::Budget, A7),
];

fn main() -> ExitCode {
    let both = || [Sort::Budget, Sort::Load].into_iter().map(|sort| suite(Sabotage::Honest, sort)).collect();
    let mut trials: Vec<Trial> = vec![honest("admission", both)];
    for (sabotage, sort, case) in TABLE {
        // Those ask a million peers and look at nothing but memory and time, and take most of the time.
        let suites = || match case.as_bytes() {
            [b'a', b'2' | b'3', ..] => vec![suite(*sabotage, *sort)],
            _ => vec![suite(*sabotage, *sort).without("a2_").without("a3_a_decision_costs")],
        };
        trials.push(caught("admission", &format!("{sabotage:?} ({sort:?})"), case, &[], suites));
    }
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn suite(sabotage: Sabotage, sort: Sort) -> Suite {
    let mut load = Load::IDLE;
    load.rung = if sort == Sort::Load { Rung::Stale } else { Rung::Full };
    let place = move || async move {
        // Not the default, so that it shows when defaults are taken up.
        Place::of(Config { sabotage, sort, budget: 40, ..Config::default() }).under(load)
    };
    admission::<Sabotaged, _, _>(place)
}

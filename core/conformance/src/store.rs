//! The suite of [`ProviderStore`](hydra_api::ProviderStore).

mod check;
mod clock;
mod delete;
mod figures;
mod insert;
mod many;
mod model;
mod outcomes;
mod read;
mod scan;
mod shared;
mod shop;
mod upkeep;

pub(crate) use delete::supports;
pub(crate) use shop::{all_known, all_taken};

use crate::check::{Kept, Outcome, ensure};
use crate::given::NOW;
use crate::place::Lab;
use crate::suite::{Case, Rule, case};
use hydra_api::{Store, UnixSeconds};
use std::sync::Arc;

const fn rule(id: &'static str, text: &'static str) -> Rule {
    Rule { id, text }
}

/// The rules of [`ProviderStore`](hydra_api::ProviderStore), as its documentation words them.
pub const RULES: [Rule; 25] = [
    rule("S1", "insert is idempotent: one record per (key, provider), however often it is announced."),
    rule(
        "S2",
        "The later expiry wins; an insert never shortens a record's life. The expiry of a record may stay behind the latest one \
         that was inserted, by StoreProfile::refresh_slack at most.",
    ),
    rule(
        "S3",
        "providers returns one entry per key asked for, in that order, repeated keys too; an absent key's is known and \
         empty.",
    ),
    rule("S4", "What has expired (expires <= now) is never returned, purged or not."),
    rule(
        "S5",
        "Providers are ordered freshest (latest expiry) first, none comes twice, and there are at most limit; which of \
         more than limit are left out is the store's choice.",
    ),
    rule(
        "S6",
        "Addresses belong to the provider, not to the record: the newest ones replace the earlier ones for all its \
         keys, and addresses_at is the time of their insert, to within Addresses::SLACK so that a store need not write \
         each time.",
    ),
    rule("S7", "An insert without addresses keeps those that are known."),
    rule(
        "S8",
        "A batch may name the same (key, provider) twice; the outcome is that of inserting one after the other.",
    ),
    rule("S9", "A batch of the lane's batch_len_max is accepted whole; an empty one does nothing."),
    rule(
        "S10",
        "purge_expired removes at most limit expired records, never a live one, and says if there are more.",
    ),
    rule(
        "S11",
        "estimate is cheap at any size, and on a store that has come to rest within 20 % of the truth, or says with \
         its age that it is older than that.",
    ),
    rule(
        "S12",
        "close flushes; calls after it fail with StoreErrorKind::Unavailable; closing twice is no error.",
    ),
    rule(
        "S13",
        "With Durability::SurvivesRestart, what was inserted before close is there after the next open.",
    ),
    rule(
        "S14",
        "A dropped future leaves each record of its batch either stored or not, and the store in order.",
    ),
    rule("S15", "Keys, ids and addresses come back byte for byte; a key and its prefix are different keys."),
    rule("S16", "Calls from many tasks at once lose nothing."),
    rule(
        "S17",
        "Inserted::Each has one outcome per record of the batch, in its order; a record that is Taken is read by the \
         next call, and one that is NoRoom or Refused has changed nothing.",
    ),
    rule(
        "S18",
        "With Sharing::BetweenProcesses each process that has opened the store reads what another has inserted, and \
         one process at a time purges: the others get PurgeProgress::Elsewhere.",
    ),
    rule(
        "S19",
        "Opened with Purpose::Check it reads at most: no file, table or record is created or changed.",
    ),
    rule(
        "S20",
        "delete removes the records of its Deletion and no others, at most limit of them, and says if there are more. A \
         record that it removed is not returned by the next call and may be inserted again; one that is absent is no \
         error.",
    ),
    rule(
        "S21",
        "scan returns at most limit records a page, none of them expired, with what providers says of them. From no cursor \
         to the page without one, it returns each record that is live during the whole scan at least once, whatever is \
         written meanwhile.",
    ),
    rule(
        "S22",
        "A cursor is good for the same store until its records are gone, after it was closed and opened again too; what is \
         no cursor of the store is StoreErrorKind::Refused.",
    ),
    rule(
        "S23",
        "An insert removes no other record that had not expired at the last purge, whatever its now is: that of a purge is \
         sure, while that of an insert is of a clock that may have jumped.",
    ),
    rule(
        "S24",
        "metrics waits for nothing, and all that it returns is well_formed; while the store is open no counter falls and no \
         series of a counter or a histogram goes away. It may be called at any time.",
    ),
    rule(
        "S25",
        "After expire_by a pass of the purge lowers each expiry that is later than its date to that date, and no other; or the \
         store lowers none.",
    ),
];

/// What is asked of every plugin, beside the rules of its trait.
pub(crate) const CONFIG: Rule =
    rule("Plugin::Config", "unknown keys and values out of bounds are refused with file and line");

/// What is asked of every store that keeps its records, beside the rules of its trait.
const USE: Rule = rule(
    "Purpose::Use",
    "opened to be used where there is nothing yet it is an error, and nothing is created or changed",
);

pub(crate) fn cases() -> Vec<Case<Store>> {
    use {
        check::*, clock::*, delete::*, figures::*, insert::*, many::*, model::*, outcomes::*, read::*,
        scan::*, shared::*, upkeep::*,
    };
    #[rustfmt::skip]
    let [
        s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12,
        s13, s14, s15, s16, s17, s18, s19, s20, s21, s22, s23, s24, s25,
    ] = RULES;
    vec![
        case!(CONFIG, an_unknown_key_of_the_table_is_refused),
        case!(CONFIG, a_changed_table_is_taken_up_whole_or_not_at_all),
        case!(s1, s1_an_insert_is_idempotent),
        case!(s1, s1_s2_s4_s5_s6_s7_s8_s10_s13_random_calls_agree_with_a_model),
        case!(s2, s2_the_later_expiry_wins),
        case!(s3, s3_each_key_gets_its_entry_in_order),
        case!(s4, s4_what_expires_now_is_not_returned),
        case!(s5, s5_the_freshest_come_first_and_no_more_than_the_limit),
        case!(s5, s5_a_hot_key_is_read_under_its_limit),
        case!(s6, s6_addresses_belong_to_the_provider),
        case!(s6, s6_addresses_told_again_do_not_age),
        case!(s7, s7_an_insert_without_addresses_keeps_them),
        case!(s8, s8_a_batch_may_name_a_record_twice),
        case!(s9, s9_the_largest_batch_is_accepted_whole),
        case!(s9, s9_an_empty_batch_does_nothing),
        case!(s10, s10_a_purge_goes_in_steps_and_spares_the_living),
        case!(s10, s10_a_hot_key_is_purged_in_steps),
        case!(s11, s11_the_estimate_is_near_the_truth),
        case!(s11, s11_the_estimate_is_no_count),
        case!(s12, s12_a_closed_store_is_unavailable),
        case!(s13, s13_records_survive_a_restart),
        case!(s14, s14_dropped_inserts_leave_the_store_in_order),
        case!(s15, s15_bytes_come_back_as_they_were),
        case!(s15, s15_a_key_and_its_prefix_are_different_keys),
        case!(s16, s16_inserts_of_many_tasks_are_all_there),
        case!(s17, s17_each_record_has_its_outcome),
        case!(s17, s17_what_has_no_room_changes_nothing),
        case!(s18, s18_each_process_reads_what_another_inserts),
        case!(s18, s18_one_process_at_a_time_purges),
        case!(s19, s19_a_check_of_an_empty_place_changes_nothing),
        case!(s19, s19_a_check_of_a_used_place_changes_nothing),
        case!(USE, what_is_not_there_cannot_be_used),
        case!(s20, s20_a_deletion_removes_what_it_names),
        case!(s20, s20_a_hot_key_is_deleted_in_steps),
        case!(s21, s21_a_scan_returns_every_live_record),
        case!(s21, s21_what_is_written_meanwhile_hides_nothing),
        case!(s22, s21_s22_a_scan_goes_on_after_a_restart),
        case!(s22, s22_what_is_no_cursor_is_refused),
        case!(s23, s23_an_insert_of_a_clock_that_is_ahead_removes_nothing),
        case!(s23, s23_a_full_store_makes_no_room_by_a_clock_that_is_ahead),
        case!(s24, s24_figures_are_well_formed_and_counters_rise),
        case!(s24, s24_figures_wait_for_nothing),
        case!(s25, s25_an_expiry_that_is_too_late_is_lowered),
    ]
}

async fn an_unknown_key_of_the_table_is_refused(lab: Arc<Lab<Store>>) -> Outcome {
    refuses_unknown_key(&lab).await
}

async fn a_changed_table_is_taken_up_whole_or_not_at_all(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = shop::Shop::open(&lab).await?;
    let profile = shop.0.profile();
    let outcome = crate::reconfigure::refuses(&lab, |table| shop.0.reconfigure(table))?;
    ensure!(shop.0.profile() == profile, "its profile has changed with tables that were refused");
    let record = crate::given::record(1, 1);
    shop.insert(std::slice::from_ref(&record), NOW).await?;
    shop.has(&record, NOW, 10).await?;
    Ok(outcome)
}

pub(crate) async fn refuses_unknown_key<R: hydra_api::Role>(lab: &Lab<R>) -> Outcome {
    lab.open().await?;
    let opened = lab.open_with_key("no_plugin_has_such_a_key").await;
    ensure!(opened.is_err(), "the key `no_plugin_has_such_a_key` was taken");
    let said = opened.err().map(|how| how.to_string()).unwrap_or_default();
    ensure!(said.contains("no_plugin_has_such_a_key"), "the error does not name the key: {said}");
    Ok(Kept::Shown)
}

fn later(seconds: u32) -> UnixSeconds {
    UnixSeconds(NOW.0 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_quoted_as_it_stands_and_has_a_case() {
        crate::suite::tests::quoted_and_covered(
            include_str!("../../api/src/store.rs"),
            &RULES,
            &cases().iter().map(|case| case.rule).collect::<Vec<_>>(),
        );
    }
}

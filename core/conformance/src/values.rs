//! The cases of [`ValueStore`](hydra_api::ValueStore), part of the suite of a store.

mod history;
mod put;
mod read;
mod scan;
pub(crate) mod shop;
mod upkeep;

use crate::suite::{Case, Rule, case};
use hydra_api::Store;

const fn rule(id: &'static str, text: &'static str) -> Rule {
    Rule { id, text }
}

/// The rules of [`ValueStore`](hydra_api::ValueStore), as its documentation words them. They do not apply to a store that keeps no value
/// records.
pub const RULES: [Rule; 16] = [
    rule(
        "R1",
        "put_if stores a record if the key has what was seen: those bytes, or nothing. Else it is Changed, and \
         nothing is changed.",
    ),
    rule(
        "R2",
        "get returns one entry per key asked for, in that order, repeated keys too; an absent key's is known and \
         nothing.",
    ),
    rule("R3", "What has expired (expires <= now) is never returned, and counts as nothing for a put_if."),
    rule(
        "R4",
        "Keys and values come back byte for byte, with their times; a key and its prefix are different keys.",
    ),
    rule(
        "R5",
        "Of many puts of a key at a time that have seen the same, one is Stored, whatever task or process they are \
         of.",
    ),
    rule("R6", "A batch may name a key twice; the outcome is that of putting one after the other."),
    rule(
        "R7",
        "A batch of BATCH_LEN_MAX is accepted whole, of the longest keys and values too; an empty one does \
         nothing.",
    ),
    rule(
        "R8",
        "purge_values removes at most limit expired records, never a live one, and says if there are more.",
    ),
    rule(
        "R9",
        "A dropped future leaves each key with the record it had or the one that was put, and the store in order.",
    ),
    rule(
        "R10",
        "Calls after the close of the store fail with StoreErrorKind::Unavailable; with \
         Durability::SurvivesRestart, what was stored before is there after the next open.",
    ),
    rule(
        "R11",
        "Value records and provider records are apart: no call for the one kind sees or changes the other.",
    ),
    rule(
        "R12",
        "estimate_values is cheap at any size, and on a store that has come to rest within 20 % of the truth, or says \
         with its age that it is older than that.",
    ),
    rule(
        "R13",
        "put_if has one outcome per record of the batch, in its order; a record that is Stored is read by the next \
         call, and one that is Changed, NoRoom or Refused has changed nothing.",
    ),
    rule(
        "R14",
        "delete_values removes the records of its keys and no others; one that is absent is no error.",
    ),
    rule(
        "R15",
        "scan_values returns at most limit records a page, none of them expired. From no cursor to the page without one, \
         it returns a record of each key that has a live one during the whole scan, whatever is written meanwhile.",
    ),
    rule(
        "R16",
        "A cursor of scan_values is good for the same store until its records are gone, after it was closed and opened \
         again too; what is no cursor of the store is StoreErrorKind::Refused.",
    ),
];

pub(crate) fn cases() -> Vec<Case<Store>> {
    use {history::*, put::*, read::*, scan::*, upkeep::*};
    let [r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r13, r14, r15, r16] = RULES;
    vec![
        case!(r1, r1_a_put_needs_what_was_seen),
        case!(r1, r1_r2_r3_r4_r6_r8_r10_r14_random_calls_agree_with_a_model),
        case!(r2, r2_each_key_gets_its_entry_in_order),
        case!(r3, r3_what_has_expired_is_nothing),
        case!(r4, r4_bytes_come_back_as_they_were),
        case!(r5, r5_of_many_puts_one_is_stored),
        case!(r5, r5_of_puts_of_many_processes_one_is_stored),
        case!(r5, r5_a_record_is_replaced_once),
        case!(r6, r6_a_batch_may_name_a_key_twice),
        case!(r7, r7_the_largest_batch_is_accepted_whole),
        case!(r8, r8_a_purge_goes_in_steps_and_spares_the_living),
        case!(r9, r9_dropped_puts_leave_the_store_in_order),
        case!(r10, r10_values_of_a_closed_store_are_unavailable),
        case!(r10, r10_values_survive_a_restart),
        case!(r11, r11_values_and_providers_are_apart),
        case!(r12, r12_the_estimate_of_values_is_near_the_truth),
        case!(r12, r12_the_estimate_of_values_is_no_count),
        case!(r13, r13_each_put_has_its_outcome),
        case!(r13, r13_what_has_no_room_changes_nothing),
        case!(r14, r14_a_deletion_removes_its_keys),
        case!(r15, r15_a_scan_returns_every_live_value),
        case!(r15, r15_what_is_put_meanwhile_hides_no_value),
        case!(r16, r15_r16_a_scan_of_values_goes_on_after_a_restart),
        case!(r16, r16_what_is_no_cursor_of_values_is_refused),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_quoted_as_it_stands_and_has_a_case() {
        crate::suite::tests::quoted_and_covered(
            include_str!("../../api/src/value.rs"),
            &RULES,
            &cases().iter().map(|case| case.rule).collect::<Vec<_>>(),
        );
    }
}

//! Stores that break one rule each.

mod lies;
mod overlay;
mod sabotaged;
mod values;
mod walks;

use crate::verdict::{caught, honest};
use hydra_conformance::{Place, Suite, store};
use libtest_mimic::Trial;
use sabotaged::{Config, Sabotage, Sabotaged};

/// Each sabotage and the case that must find it out.
const TABLE: &[(Sabotage, &str)] = &[
    (Sabotage::TakesUnknownKeys, "an_unknown_key_of_the_table_is_refused"),
    (Sabotage::ReconfigureTakesUnknownKeys, "a_changed_table_is_taken_up_whole_or_not_at_all"),
    (Sabotage::ReconfigureEnds, "a_changed_table_is_taken_up_whole_or_not_at_all"),
    (Sabotage::S1StoresTwice, "s1_an_insert_is_idempotent"),
    (Sabotage::S2Shortens, "s2_the_later_expiry_wins"),
    (Sabotage::S3RepeatedKeyIsEmpty, "s3_each_key_gets_its_entry_in_order"),
    (Sabotage::S3SortsKeys, "s3_each_key_gets_its_entry_in_order"),
    (Sabotage::S3AbsentKeyIsUnknown, "s3_each_key_gets_its_entry_in_order"),
    (Sabotage::S4ReturnsWhatExpiresNow, "s4_what_expires_now_is_not_returned"),
    (Sabotage::S5FreshestLast, "s5_the_freshest_come_first_and_no_more_than_the_limit"),
    (Sabotage::S5NoLimit, "s5_a_hot_key_is_read_under_its_limit"),
    (Sabotage::S5ProviderTwice, "s5_the_freshest_come_first_and_no_more_than_the_limit"),
    (Sabotage::S6AddressesOfTheRecord, "s6_addresses_belong_to_the_provider"),
    (Sabotage::S6AddressesAge, "s6_addresses_told_again_do_not_age"),
    (Sabotage::S7NoAddressesAreTaken, "s7_an_insert_without_addresses_keeps_them"),
    (Sabotage::S8FirstOfTwo, "s8_a_batch_may_name_a_record_twice"),
    (Sabotage::S9PartOfTheLargest, "s9_the_largest_batch_is_accepted_whole"),
    (Sabotage::S9FailsTheEmpty, "s9_an_empty_batch_does_nothing"),
    (Sabotage::S10PurgesTheLiving, "s10_a_purge_goes_in_steps_and_spares_the_living"),
    (Sabotage::S10MoreThanTheLimit, "s10_a_purge_goes_in_steps_and_spares_the_living"),
    (Sabotage::S10DoneTooSoon, "s10_a_purge_goes_in_steps_and_spares_the_living"),
    (Sabotage::S10NeverDone, "s10_a_purge_goes_in_steps_and_spares_the_living"),
    (Sabotage::S11CountsTwice, "s11_the_estimate_is_near_the_truth"),
    (Sabotage::S11AnyNumberOfAnyAge, "s11_the_estimate_is_near_the_truth"),
    (Sabotage::S11AnyNumberFromTheBeginning, "s11_the_estimate_is_near_the_truth"),
    (Sabotage::S11CountsAll, "s11_the_estimate_is_no_count"),
    (Sabotage::S12ServesOn, "s12_a_closed_store_is_unavailable"),
    (Sabotage::S12AnotherKind, "s12_a_closed_store_is_unavailable"),
    (Sabotage::S12FailsTheSecondClose, "s12_a_closed_store_is_unavailable"),
    (Sabotage::S13ForgetsTheLastBatch, "s13_records_survive_a_restart"),
    (Sabotage::S14TornWhenDropped, "s14_dropped_inserts_leave_the_store_in_order"),
    (Sabotage::S15CutsKeys, "s15_bytes_come_back_as_they_were"),
    (Sabotage::S15CutsPeers, "s15_bytes_come_back_as_they_were"),
    (Sabotage::S15CutsAddresses, "s15_bytes_come_back_as_they_were"),
    (Sabotage::S15ReadsByPrefix, "s15_a_key_and_its_prefix_are_different_keys"),
    (Sabotage::S16LosesOneOfTwo, "s16_inserts_of_many_tasks_are_all_there"),
    (Sabotage::S17SaysTaken, "s17_what_has_no_room_changes_nothing"),
    (Sabotage::S17OutcomesOutOfOrder, "s17_what_has_no_room_changes_nothing"),
    (Sabotage::S17TooFewOutcomes, "s17_what_has_no_room_changes_nothing"),
    (Sabotage::S17Unknown, "s17_what_has_no_room_changes_nothing"),
    (Sabotage::S17TakesTheAddresses, "s17_what_has_no_room_changes_nothing"),
    (Sabotage::S17ReadsLate, "s17_each_record_has_its_outcome"),
    (Sabotage::S18ReadsItsOwn, "s18_each_process_reads_what_another_inserts"),
    (Sabotage::S18EndsForAll, "s18_each_process_reads_what_another_inserts"),
    (Sabotage::S18AllPurge, "s18_one_process_at_a_time_purges"),
    (Sabotage::S19CreatesAFile, "s19_a_check_of_an_empty_place_changes_nothing"),
    (Sabotage::S19CreatesTheDirectory, "s19_a_check_of_an_empty_place_changes_nothing"),
    (Sabotage::S19ChangesAFile, "s19_a_check_of_a_used_place_changes_nothing"),
    (Sabotage::S19Migrates, "s19_a_check_of_a_used_place_changes_nothing"),
    (Sabotage::UseMakesWhatIsNotThere, "what_is_not_there_cannot_be_used"),
    (Sabotage::UseWritesAndFails, "what_is_not_there_cannot_be_used"),
    (Sabotage::S20RemovesTheKey, "s20_a_deletion_removes_what_it_names"),
    (Sabotage::S20RemovesNothing, "s20_a_deletion_removes_what_it_names"),
    (Sabotage::S20MoreThanTheLimit, "s20_a_hot_key_is_deleted_in_steps"),
    (Sabotage::S20NeverDone, "s20_a_hot_key_is_deleted_in_steps"),
    (Sabotage::S20DoneTooSoon, "s20_a_hot_key_is_deleted_in_steps"),
    (Sabotage::S20FailsTheAbsent, "s20_a_deletion_removes_what_it_names"),
    (Sabotage::S21LeavesOutTheLast, "s21_a_scan_returns_every_live_record"),
    (Sabotage::S21MoreThanTheLimit, "s21_a_scan_returns_every_live_record"),
    (Sabotage::S21ReturnsTheExpired, "s21_a_scan_returns_every_live_record"),
    (Sabotage::S21ForgetsAddresses, "s21_a_scan_returns_every_live_record"),
    (Sabotage::S21ByNumber, "s21_what_is_written_meanwhile_hides_nothing"),
    (Sabotage::S22ForgetsItsCursors, "s21_s22_a_scan_goes_on_after_a_restart"),
    (Sabotage::S22TakesAnyCursor, "s22_what_is_no_cursor_is_refused"),
    (Sabotage::S23PurgesByItsClock, "s23_an_insert_of_a_clock_that_is_ahead_removes_nothing"),
    (Sabotage::S23MakesRoomByItsClock, "s23_a_full_store_makes_no_room_by_a_clock_that_is_ahead"),
    (Sabotage::S25LowersAll, "s25_an_expiry_that_is_too_late_is_lowered"),
    (Sabotage::S25LowersToAnotherDate, "s25_an_expiry_that_is_too_late_is_lowered"),
    (Sabotage::S24CounterFalls, "s24_figures_are_well_formed_and_counters_rise"),
    (Sabotage::S24SeriesGoesAway, "s24_figures_are_well_formed_and_counters_rise"),
    (Sabotage::S24SeriesTwice, "s24_figures_are_well_formed_and_counters_rise"),
    (Sabotage::S24NamesAPeer, "s24_figures_are_well_formed_and_counters_rise"),
    (Sabotage::S24PanicsWhenClosed, "s24_figures_are_well_formed_and_counters_rise"),
    (Sabotage::S24Waits, "s24_figures_wait_for_nothing"),
    (Sabotage::S24WaitsEverySecondTime, "s24_figures_wait_for_nothing"),
    (Sabotage::R1StoresWhatWasNotSeen, "r1_a_put_needs_what_was_seen"),
    (Sabotage::R1SeesTheAbsent, "r1_a_put_needs_what_was_seen"),
    (Sabotage::R1TakesABeginning, "r1_a_put_needs_what_was_seen"),
    (Sabotage::R1SaysChangedAndStores, "r1_a_put_needs_what_was_seen"),
    (Sabotage::R2SortsKeys, "r2_each_key_gets_its_entry_in_order"),
    (Sabotage::R2RepeatedKeyIsEmpty, "r2_each_key_gets_its_entry_in_order"),
    (Sabotage::R2AbsentKeyIsUnknown, "r2_each_key_gets_its_entry_in_order"),
    (Sabotage::R2TooFewEntries, "r2_each_key_gets_its_entry_in_order"),
    (Sabotage::R3ReturnsTheExpired, "r3_what_has_expired_is_nothing"),
    (Sabotage::R3SeesTheExpired, "r3_what_has_expired_is_nothing"),
    (Sabotage::R3ExpiredIsInTheWay, "r3_what_has_expired_is_nothing"),
    (Sabotage::R4CutsKeys, "r4_bytes_come_back_as_they_were"),
    (Sabotage::R4CutsValues, "r4_bytes_come_back_as_they_were"),
    (Sabotage::R4ReadsByPrefix, "r4_bytes_come_back_as_they_were"),
    (Sabotage::R4ForgetsWhenItCame, "r4_bytes_come_back_as_they_were"),
    (Sabotage::R4EndsSooner, "r4_bytes_come_back_as_they_were"),
    (Sabotage::R5LetsTwoWin, "r5_of_many_puts_one_is_stored"),
    (Sabotage::R5LetsTwoProcessesWin, "r5_of_puts_of_many_processes_one_is_stored"),
    (Sabotage::R5SaysStored, "r5_of_many_puts_one_is_stored"),
    (Sabotage::R6FirstOfTwo, "r6_a_batch_may_name_a_key_twice"),
    (Sabotage::R6AllSeeTheSame, "r6_a_batch_may_name_a_key_twice"),
    (Sabotage::R7PartOfTheLargest, "r7_the_largest_batch_is_accepted_whole"),
    (Sabotage::R7RefusesTheLargest, "r7_the_largest_batch_is_accepted_whole"),
    (Sabotage::R7FailsTheEmpty, "r7_the_largest_batch_is_accepted_whole"),
    (Sabotage::R8PurgesTheLiving, "r8_a_purge_goes_in_steps_and_spares_the_living"),
    (Sabotage::R8MoreThanTheLimit, "r8_a_purge_goes_in_steps_and_spares_the_living"),
    (Sabotage::R8DoneTooSoon, "r8_a_purge_goes_in_steps_and_spares_the_living"),
    (Sabotage::R8NeverDone, "r8_a_purge_goes_in_steps_and_spares_the_living"),
    (Sabotage::R9TornWhenDropped, "r9_dropped_puts_leave_the_store_in_order"),
    (Sabotage::R9StaysBusy, "r9_dropped_puts_leave_the_store_in_order"),
    (Sabotage::R10ServesOn, "r10_values_of_a_closed_store_are_unavailable"),
    (Sabotage::R10AnotherKind, "r10_values_of_a_closed_store_are_unavailable"),
    (Sabotage::R10Forgets, "r10_values_survive_a_restart"),
    (Sabotage::R11ValuesOfProviders, "r11_values_and_providers_are_apart"),
    (Sabotage::R11PutRemovesProviders, "r11_values_and_providers_are_apart"),
    (Sabotage::R11PurgeRemovesProviders, "r11_values_and_providers_are_apart"),
    (Sabotage::R11DeletionRemovesProviders, "r11_values_and_providers_are_apart"),
    (Sabotage::R11InsertRemovesValues, "r11_values_and_providers_are_apart"),
    (Sabotage::R11DeletionRemovesValues, "r11_values_and_providers_are_apart"),
    (Sabotage::R11PurgeRemovesValues, "r11_values_and_providers_are_apart"),
    (Sabotage::R12CountsTwice, "r12_the_estimate_of_values_is_near_the_truth"),
    (Sabotage::R12CountsTheReplaced, "r12_the_estimate_of_values_is_near_the_truth"),
    (Sabotage::R12CountsValuesAlone, "r12_the_estimate_of_values_is_near_the_truth"),
    (Sabotage::R12AnyNumberOfAnyAge, "r12_the_estimate_of_values_is_near_the_truth"),
    (Sabotage::R12AnyNumberFromTheBeginning, "r12_the_estimate_of_values_is_near_the_truth"),
    (Sabotage::R12CountsAll, "r12_the_estimate_of_values_is_no_count"),
    (Sabotage::R13OutcomesOutOfOrder, "r13_each_put_has_its_outcome"),
    (Sabotage::R13TooFewOutcomes, "r13_each_put_has_its_outcome"),
    (Sabotage::R13Unknown, "r13_each_put_has_its_outcome"),
    (Sabotage::R13ReadsLate, "r13_each_put_has_its_outcome"),
    (Sabotage::R13ChangedIsStored, "r13_each_put_has_its_outcome"),
    (Sabotage::R13SaysStored, "r13_what_has_no_room_changes_nothing"),
    (Sabotage::R13NoRoomIsStored, "r13_what_has_no_room_changes_nothing"),
    (Sabotage::R14RemovesAnother, "r14_a_deletion_removes_its_keys"),
    (Sabotage::R14RemovesNothing, "r14_a_deletion_removes_its_keys"),
    (Sabotage::R14FailsTheAbsent, "r14_a_deletion_removes_its_keys"),
    (Sabotage::R14CountsTheAbsent, "r14_a_deletion_removes_its_keys"),
    (Sabotage::R15LeavesOutTheLast, "r15_a_scan_returns_every_live_value"),
    (Sabotage::R15MoreThanTheLimit, "r15_a_scan_returns_every_live_value"),
    (Sabotage::R15ReturnsTheExpired, "r15_a_scan_returns_every_live_value"),
    (Sabotage::R15ForgetsWhenItCame, "r15_a_scan_returns_every_live_value"),
    (Sabotage::R15ByNumber, "r15_what_is_put_meanwhile_hides_no_value"),
    (Sabotage::R15ByExpiry, "r15_what_is_put_meanwhile_hides_no_value"),
    (Sabotage::R16ForgetsItsCursors, "r15_r16_a_scan_of_values_goes_on_after_a_restart"),
    (Sabotage::R16TakesAnyCursor, "r16_what_is_no_cursor_of_values_is_refused"),
];

/// Cases of other rules that need the one that is broken: some records are deleted during a scan, expiries are lowered by a
/// purge, and rivals replace what has expired.
fn also(sabotage: Sabotage) -> &'static [&'static str] {
    match sabotage {
        Sabotage::S20RemovesTheKey => &["s21_what_is_written_meanwhile_hides_nothing"],
        Sabotage::S10PurgesTheLiving | Sabotage::S10NeverDone => {
            &["s25_an_expiry_that_is_too_late_is_lowered"]
        }
        Sabotage::R3SeesTheExpired => &["r5_a_record_is_replaced_once"],
        _ => &[],
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![honest("store", || suites(Sabotage::Honest))];
    for (sabotage, case) in TABLE {
        trials.push(caught("store", &format!("{sabotage:?}"), case, also(*sabotage), || suites(*sabotage)));
    }
    trials
}

/// The whole suite where there is room, and the cases of S17, S23 and R13 where there is little.
fn suites(sabotage: Sabotage) -> Vec<Suite> {
    let roomy = move || async move { Place::of(Config { sabotage, ..Config::default() }) };
    let full = move || async move {
        Place::of(Config { sabotage, providers_per_key_max: 100, ..Config::default() }).full_within(1000)
    };
    let full = |cases| store::<Sabotaged, _, _>(full).only(cases);
    vec![store::<Sabotaged, _, _>(roomy), full("s17"), full("s23_a_full_store"), full("r13_what_has_no_room")]
}

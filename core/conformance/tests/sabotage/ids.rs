//! Allocators that break one rule each.

mod sabotaged;

use crate::verdict::{caught, honest};
use hydra_conformance::{Place, Suite, ids};
use libtest_mimic::Trial;
use sabotaged::{Config, Life, Sabotage, Sabotaged};

const I1: &str = "i1_a_slot_is_the_same_after_a_restart";
const I2: &str = "i2_what_is_held_is_distinct";
const I8: &str = "i8_a_slot_is_held_once";
const I9: &str = "i9_a_preview_tells_what_acquire_gives";
const I10: &str = "i10_each_lease_of_a_slot_has_a_greater_epoch";
const I11: &str = "i11_a_renewal_tells_of_every_slot";
const I12: &str = "i12_a_lease_ends_when_it_is_not_renewed";

/// Each sabotage, how long its leases last, and the case that must find it out.
const TABLE: &[(Sabotage, Life, &str)] = &[
    (Sabotage::TakesUnknownKeys, Life::Process, "an_unknown_key_of_the_table_is_refused"),
    (Sabotage::ReconfigureLosesLeases, Life::Process, "a_changed_table_is_taken_up_whole_or_not_at_all"),
    (Sabotage::I1AnotherIdentity, Life::Process, I1),
    (Sabotage::I1AnotherPort, Life::Process, "i1_a_slot_is_the_same_after_a_crash"),
    (Sabotage::I2PortTwice, Life::Process, I2),
    (Sabotage::I2SlotTwice, Life::Process, I2),
    (Sabotage::I3MoreMovesPorts, Life::Process, "i3_more_heads_change_none_of_those_before"),
    (Sabotage::I4NotGivenAgain, Life::Process, "i4_what_was_released_is_given_out_again"),
    (Sabotage::I5PeerOfAnother, Life::Process, "i5_the_peer_is_the_id_of_the_identity"),
    (Sabotage::I6ForgetsPorts, Life::Process, "i6_a_reported_port_stays_with_its_slot"),
    (Sabotage::I7ShowsSecrets, Life::Process, "i7_no_secret_is_shown"),
    (Sabotage::I8HeldTwice, Life::Process, I8),
    (Sabotage::I8DoesNotOpenBeside, Life::Process, I8),
    (Sabotage::I8AnotherKind, Life::Process, I8),
    (Sabotage::I9TellsOthers, Life::Process, I9),
    (Sabotage::I9TakesThem, Life::Process, I9),
    (Sabotage::I9NoProgress, Life::Process, I9),
    (Sabotage::I10SameEpoch, Life::Process, I10),
    (Sabotage::I10BeginsAgain, Life::Process, I10),
    (Sabotage::I10RenewalChangesIt, Life::Process, I10),
    (Sabotage::I11AnyEpoch, Life::Lease, I11),
    (Sabotage::I11LeavesOutTheUnknown, Life::Lease, I11),
    (Sabotage::I11LeavesOutTheReleased, Life::Lease, I11),
    (Sabotage::I11ReleasesAnyEpoch, Life::Lease, I11),
    (Sabotage::I12OutlivesTheProcess, Life::Process, I12),
    (Sabotage::I12NeverEnds, Life::Lease, I12),
    (Sabotage::I12EndsTooSoon, Life::Lease, I12),
    (Sabotage::I12IsNotRenewed, Life::Lease, I12),
    (Sabotage::I12HeldByBoth, Life::Lease, I12),
];

/// Cases of other rules that need the one that is broken: a check compares what two processes are given, and what a
/// crash leaves held for ever is not given again.
fn also(sabotage: Sabotage) -> &'static [&'static str] {
    match sabotage {
        Sabotage::I1AnotherIdentity | Sabotage::I1AnotherPort | Sabotage::I10BeginsAgain => {
            &["i9_a_check_creates_and_takes_nothing"]
        }
        Sabotage::I12NeverEnds => &["i1_a_slot_is_the_same_after_a_crash", "i10_epochs_grow_over_crashes"],
        _ => &[],
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    let both =
        || [Life::Process, Life::Lease].into_iter().flat_map(|life| suites(Sabotage::Honest, life)).collect();
    let mut trials = vec![honest("ids", both)];
    for (sabotage, life, case) in TABLE {
        trials.push(caught("ids", &format!("{sabotage:?}"), case, also(*sabotage), || {
            suites(*sabotage, *life)
        }));
    }
    trials
}

fn suites(sabotage: Sabotage, life: Life) -> Vec<Suite> {
    let place =
        move || async move { Place::of(Config { sabotage, life, ..Config::default() }).on_a_paused_clock() };
    vec![ids::<Sabotaged, _, _>(place)]
}

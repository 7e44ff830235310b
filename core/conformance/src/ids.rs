//! The suite of [`IdAllocator`].

mod epoch;
mod lease;
mod restart;

use crate::check::{Broken, Outcome, ensure_eq};
use crate::place::{Lab, Place};
use crate::suite::{Alone, Case, Rule, Suite, Threads, case};
use hydra_api::{HeadCount, HeadLease, HeldSlot, IdAllocator, Ids, PeerId, Plugin};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const fn rule(id: &'static str, text: &'static str) -> Rule {
    Rule { id, text }
}

/// The rules of [`IdAllocator`], as its documentation words them.
pub const RULES: [Rule; 12] = [
    rule("I1", "The same slot gives the same identity and port after a restart."),
    rule("I2", "Slots, identities and ports of all leases that are held at a time are distinct."),
    rule("I3", "Wanting more heads adds slots and changes none of those there were."),
    rule("I4", "What was released is given out again."),
    rule("I5", "HeadLease::peer is the id of HeadLease::identity."),
    rule("I6", "A port that renew reports is the one the slot gets from then on."),
    rule("I7", "No identity's secret is shown by Debug, and none is passed to renew or release."),
    rule(
        "I8",
        "A slot is held by one process at a time: another that asks for it fails with IdErrorKind::Held, or gets \
         other slots.",
    ),
    rule(
        "I9",
        "preview tells what acquire would give a process that holds nothing, takes nothing, and works beside one that \
         holds the slots. Opened with Purpose::Check, nothing is created or changed.",
    ),
    rule("I10", "Each time a slot is given out its epoch is greater than the time before; renew keeps it."),
    rule(
        "I11",
        "renew says of every slot either for how long it is held or that it is lost; one with another epoch than the \
         current one is lost.",
    ),
    rule(
        "I12",
        "A lease that is not renewed ends after its life, and the slot is given out again; one without a life ends with \
         the process.",
    ),
];

/// The suite of an allocator of identities. `place` makes a fresh place for each case.
///
/// The allocator must have at least 12 slots to give.
pub fn ids<P, F, Fut>(place: F) -> Suite
where
    P: Plugin<Role = Ids>,
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Place> + Send + 'static,
{
    Suite::of::<P, F, Fut>(cases(), place, Alone::No, Threads::One)
}

fn cases() -> Vec<Case<Ids>> {
    use {epoch::*, lease::*, restart::*};
    let [i1, i2, i3, i4, i5, i6, i7, i8, i9, i10, i11, i12] = RULES;
    vec![
        case!(crate::store::CONFIG, an_unknown_key_of_the_table_is_refused),
        case!(crate::store::CONFIG, a_changed_table_is_taken_up_whole_or_not_at_all),
        case!(i1, i1_a_slot_is_the_same_after_a_restart),
        case!(i1, i1_a_slot_is_the_same_after_a_crash),
        case!(i2, i2_what_is_held_is_distinct),
        case!(i3, i3_more_heads_change_none_of_those_before),
        case!(i4, i4_what_was_released_is_given_out_again),
        case!(i5, i5_the_peer_is_the_id_of_the_identity),
        case!(i6, i6_a_reported_port_stays_with_its_slot),
        case!(i7, i7_no_secret_is_shown),
        case!(i8, i8_a_slot_is_held_once),
        case!(i9, i9_a_preview_tells_what_acquire_gives),
        case!(i9, i9_a_check_creates_and_takes_nothing),
        case!(i10, i10_each_lease_of_a_slot_has_a_greater_epoch),
        case!(i10, i10_epochs_grow_over_crashes),
        case!(i11, i11_a_renewal_tells_of_every_slot),
        case!(i12, i12_a_lease_ends_when_it_is_not_renewed),
    ]
}

async fn an_unknown_key_of_the_table_is_refused(lab: Arc<Lab<Ids>>) -> Outcome {
    crate::store::refuses_unknown_key(&lab).await
}

/// The longest life of a lease that a suite waits for on a clock that is not paused.
const LIFE_MAX: Duration = Duration::from_secs(30);

/// Ends the process that holds these leases without releasing them, and waits until they have ended.
async fn crash(lab: &Lab<Ids>, allocator: Arc<dyn IdAllocator>, leases: &[HeadLease]) -> Result<(), Broken> {
    drop(allocator);
    if let Some(life) = leases.iter().filter_map(|lease| lease.life).max() {
        lab.place.bounded(life, LIFE_MAX)?;
        tokio::time::sleep(life + life / 4).await;
    }
    Ok(())
}

/// What must not change of a slot.
type Slots = BTreeMap<u32, (PeerId, [u8; 32], u16)>;

async fn acquire(allocator: &Arc<dyn IdAllocator>, wanted: u32) -> Result<Vec<HeadLease>, Broken> {
    let leases = allocator.acquire(HeadCount::new(wanted).unwrap_or(HeadCount::MIN)).await?;
    ensure_eq!(leases.len(), wanted as usize, "the number of leases");
    Ok(leases)
}

async fn a_changed_table_is_taken_up_whole_or_not_at_all(lab: Arc<Lab<Ids>>) -> Outcome {
    let allocator = lab.open().await?;
    let leases = acquire(&allocator, 3).await?;
    let outcome = crate::reconfigure::refuses(&lab, |table| allocator.reconfigure(table))?;
    let renewal = allocator.renew(&held(&leases)).await?;
    ensure_eq!(renewal.lost, Vec::<u32>::new(), "what was lost by tables that were refused");
    Ok(outcome)
}

/// What is told of leases whose heads listen on the ports of the leases.
fn held(leases: &[HeadLease]) -> Vec<HeldSlot> {
    leases.iter().map(|lease| lease.held_on(lease.port)).collect()
}

fn slots(leases: &[HeadLease]) -> Slots {
    leases
        .iter()
        .map(|lease| (lease.slot, (lease.peer, *lease.identity.ed25519_seed(), lease.port)))
        .collect()
}

/// Demands that both are the same, and shows no secret where they differ.
fn same(found: &Slots, expected: &Slots, when: &str) -> Result<(), Broken> {
    let shown = |slots: &Slots| -> Vec<_> {
        slots.iter().map(|(slot, (peer, _, port))| (*slot, peer.to_string(), *port)).collect()
    };
    ensure_eq!(shown(found), shown(expected), "slots, peers and ports {when}");
    crate::check::ensure!(found == expected, "an identity is another {when}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_quoted_as_it_stands_and_has_a_case() {
        crate::suite::tests::quoted_and_covered(
            include_str!("../../api/src/ids.rs"),
            &RULES,
            &cases().iter().map(|case| case.rule).collect::<Vec<_>>(),
        );
    }
}

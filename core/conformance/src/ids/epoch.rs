//! Cases on epochs, renewals and the ends of leases: I10 to I12.

use super::{LIFE_MAX, acquire, crash, held, slots};
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::place::Lab;
use hydra_api::{HeadCount, HeadLease, HeldSlot, IdAllocator, IdErrorKind, Ids, Renewal};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub(super) async fn i10_each_lease_of_a_slot_has_a_greater_epoch(lab: Arc<Lab<Ids>>) -> Outcome {
    lab.place.set_clock();
    let mut last: BTreeMap<u32, u64> = BTreeMap::new();
    for round in 0..4 {
        // Within one process, and over restarts.
        let allocator = lab.open().await?;
        for _ in 0..2 {
            let leases = acquire(&allocator, 3).await?;
            for lease in &leases {
                let before = last.insert(lease.slot, lease.epoch);
                ensure!(
                    before.is_none_or(|before| before < lease.epoch),
                    "in round {round} slot {} is given out with epoch {} after {before:?}",
                    lease.slot,
                    lease.epoch
                );
            }
            let renewal = allocator.renew(&held(&leases)).await?;
            ensure_eq!(kept(&renewal), slots_of(&leases), "what was held on by renewing");
            // The epoch is still the one of the lease.
            let renewal = allocator.renew(&held(&leases)).await?;
            ensure_eq!(renewal.lost, Vec::<u32>::new(), "what was lost by renewing once more");
            allocator.release(&held(&leases)).await?;
        }
    }
    Ok(Kept::Shown)
}

pub(super) async fn i10_epochs_grow_over_crashes(lab: Arc<Lab<Ids>>) -> Outcome {
    lab.place.set_clock();
    let mut last: BTreeMap<u32, u64> = BTreeMap::new();
    for round in 0..3 {
        let allocator = lab.open().await?;
        let leases = acquire(&allocator, 3).await?;
        for lease in &leases {
            let before = last.insert(lease.slot, lease.epoch);
            ensure!(
                before.is_none_or(|before| before < lease.epoch),
                "after {round} crashes slot {} is given out with epoch {} after {before:?}",
                lease.slot,
                lease.epoch
            );
        }
        crash(&lab, allocator, &leases).await?;
    }
    Ok(Kept::Shown)
}

pub(super) async fn i11_a_renewal_tells_of_every_slot(lab: Arc<Lab<Ids>>) -> Outcome {
    lab.place.set_clock();
    let allocator = lab.open().await?;
    let leases = acquire(&allocator, 4).await?;
    let [first, second, third, fourth] = held(&leases)[..] else {
        return Err(Broken::new("four leases are not four"));
    };
    // A life that is renewed is a life as it was granted, or longer; one without an end stays without.
    let renewal = allocator.renew(&[first, second, third, fourth]).await?;
    told_of_each(&renewal, &leases, &[])?;
    for renewed in &renewal.held {
        let granted =
            leases.iter().find(|lease| lease.slot == renewed.slot).map(|lease| lease.life.is_some());
        ensure_eq!(Some(renewed.life.is_some()), granted, "whether slot {} has a life", renewed.slot);
        ensure!(renewed.life != Some(Duration::ZERO), "slot {} is renewed for no time", renewed.slot);
    }
    // An epoch that is not the current one, older or newer, is lost; its slot stays with who holds it.
    let old = HeldSlot::new(second.slot, second.epoch.wrapping_sub(1), second.port);
    let new = HeldSlot::new(third.slot, third.epoch.wrapping_add(1), third.port);
    let renewal = allocator.renew(&[first, old, new, fourth]).await?;
    told_of_each(&renewal, &leases, &[second.slot, third.slot])?;
    let renewal = allocator.renew(&[first, second, third, fourth]).await?;
    told_of_each(&renewal, &leases, &[])?;
    // What was released is lost, and what nobody was given.
    allocator.release(&[fourth]).await?;
    let renewal = allocator.renew(&[first, second, third, fourth]).await?;
    told_of_each(&renewal, &leases, &[fourth.slot])?;
    let unknown = HeldSlot::new(u32::MAX, 1, 0);
    let renewal = allocator.renew(&[first, unknown]).await?;
    ensure_eq!(
        (kept(&renewal), &renewal.lost[..]),
        (vec![first.slot], &[unknown.slot][..]),
        "a slot of nobody"
    );
    // To release it again, or with another epoch, takes nothing from who holds the slots.
    allocator.release(&[fourth, old, unknown]).await?;
    let renewal = allocator.renew(&[first, second, third]).await?;
    ensure_eq!(renewal.lost, Vec::<u32>::new(), "what was lost when others were released");
    Ok(Kept::Shown)
}

/// Demands that each of these leases is either held or lost, and that these slots are lost.
fn told_of_each(renewal: &Renewal, leases: &[HeadLease], lost: &[u32]) -> Result<(), Broken> {
    let told: BTreeSet<_> = renewal.lost.iter().copied().collect();
    ensure_eq!(told, lost.iter().copied().collect::<BTreeSet<_>>(), "the slots that are lost");
    ensure_eq!(renewal.lost.len(), lost.len(), "how many slots are told to be lost");
    let mut expected = slots_of(leases);
    expected.retain(|slot| !lost.contains(slot));
    ensure_eq!(kept(renewal), expected, "the slots that are held on");
    Ok(())
}

pub(super) async fn i12_a_lease_ends_when_it_is_not_renewed(lab: Arc<Lab<Ids>>) -> Outcome {
    lab.place.set_clock();
    let one = lab.open().await?;
    let begun = Instant::now();
    let leases = acquire(&one, 3).await?;
    let expected = slots(&leases);
    let Some(life) = shortest_life(&leases) else {
        // It ends with the process: whoever comes after is given the same slots.
        drop(one);
        let again = acquire(&lab.open().await?, 3).await?;
        super::same(&slots(&again), &expected, "after the process has ended")?;
        return Ok(Kept::Shown);
    };
    lab.place.bounded(life, LIFE_MAX)?;
    // Renewed at a third of its life, a lease outlasts it.
    let mut renewed = begun;
    for _ in 0..6 {
        sleep(life / 3).await;
        renewed = Instant::now();
        let renewal = one.renew(&held(&leases)).await?;
        ensure_eq!(kept(&renewal), slots_of(&leases), "what is held after {:?}", begun.elapsed());
    }
    // Not renewed, its slots are held until the life ends and no longer.
    let other = lab.open().await?;
    let many = HeadCount::new(12).unwrap_or(HeadCount::MIN);
    let free = not_given_while_held(&other, &leases, renewed + life).await?;
    other.release(&held(&free)).await?;
    sleep((renewed + life + life / 4).saturating_duration_since(Instant::now())).await;
    let after = other.acquire(many).await?;
    for lease in &leases {
        let again = after.iter().find(|after| after.slot == lease.slot).map(|after| after.epoch);
        ensure!(again.is_some(), "after its life, slot {} is not given out again", lease.slot);
        ensure!(again > Some(lease.epoch), "slot {} is given out again with epoch {again:?}", lease.slot);
    }
    // The one whose lease has ended is told so, and does not disturb the other.
    let renewal = one.renew(&held(&leases)).await?;
    ensure_eq!(
        (kept(&renewal).len(), renewal.lost.len()),
        (0, leases.len()),
        "the leases held and lost after their end"
    );
    one.release(&held(&leases)).await?;
    let renewal = other.renew(&held(&after)).await?;
    ensure_eq!(renewal.lost, Vec::<u32>::new(), "what the other has lost");
    Ok(Kept::Shown)
}

/// Until shortly before `end`, another allocator gets none of these slots; what it gets instead.
async fn not_given_while_held(
    other: &Arc<dyn IdAllocator>,
    leases: &[HeadLease],
    end: Instant,
) -> Result<Vec<HeadLease>, Broken> {
    let left = end.saturating_duration_since(Instant::now());
    sleep(left * 3 / 4).await;
    let others = match other.acquire(HeadCount::new(3).unwrap_or(HeadCount::MIN)).await {
        Ok(others) => others,
        Err(error) => {
            ensure_eq!(error.kind(), IdErrorKind::Held, "the kind of the error while all is held");
            Vec::new()
        }
    };
    // Were the machine so slow that the lease has ended meanwhile, nothing would be wrong.
    let taken = others.iter().find(|other| leases.iter().any(|lease| lease.slot == other.slot));
    ensure!(
        taken.is_none() || Instant::now() >= end,
        "slot {:?} is given out while it is held",
        taken.map(|lease| lease.slot)
    );
    Ok(others)
}

fn shortest_life(leases: &[HeadLease]) -> Option<Duration> {
    leases.iter().filter_map(|lease| lease.life).min()
}

fn slots_of(leases: &[HeadLease]) -> Vec<u32> {
    let mut slots: Vec<_> = leases.iter().map(|lease| lease.slot).collect();
    slots.sort_unstable();
    slots
}

fn kept(renewal: &Renewal) -> Vec<u32> {
    let mut slots: Vec<_> = renewal.held.iter().map(|renewed| renewed.slot).collect();
    slots.sort_unstable();
    slots
}

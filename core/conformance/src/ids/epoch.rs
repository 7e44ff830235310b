//! Cases on epochs and the life of leases: I10 to I12.

use super::{acquire, held};
use crate::check::{Kept, Outcome, ensure, ensure_eq};
use crate::place::Lab;
use hydra_api::{HeldSlot, Ids};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) async fn i10_an_epoch_grows_each_time_a_slot_is_given_out(lab: Arc<Lab<Ids>>) -> Outcome {
    let mut before = BTreeMap::new();
    for round in 0..4 {
        let allocator = lab.open().await?;
        for _ in 0..2 {
            let leases = acquire(&allocator, 3).await?;
            for lease in &leases {
                let last = before.insert(lease.slot, lease.epoch);
                ensure!(
                    last.is_none_or(|last| lease.epoch > last),
                    "in round {round} slot {} has epoch {} after {last:?}",
                    lease.slot,
                    lease.epoch
                );
            }
            let renewal = allocator.renew(&held(&leases)).await?;
            ensure_eq!(renewal.lost, Vec::<u32>::new(), "what was lost by renewing");
            allocator.release(&held(&leases)).await?;
        }
    }
    Ok(Kept::Shown)
}

pub(super) async fn i11_a_renewal_says_of_every_slot_what_became_of_it(lab: Arc<Lab<Ids>>) -> Outcome {
    let allocator = lab.open().await?;
    let leases = acquire(&allocator, 4).await?;
    let renewal = allocator.renew(&held(&leases)).await?;
    let mut kept: Vec<u32> = renewal.held.iter().map(|renewed| renewed.slot).collect();
    let mut expected: Vec<u32> = leases.iter().map(|lease| lease.slot).collect();
    kept.sort_unstable();
    expected.sort_unstable();
    ensure_eq!(kept, expected, "the slots that are held on");
    // One of another epoch, and one that was given back.
    let mut told = held(&leases);
    told[0] = HeldSlot::new(told[0].slot, told[0].epoch + 1, told[0].port);
    allocator.release(&told[3..]).await?;
    let renewal = allocator.renew(&told).await?;
    let mut lost = renewal.lost.clone();
    let mut expected = vec![told[0].slot, told[3].slot];
    lost.sort_unstable();
    expected.sort_unstable();
    ensure_eq!(lost, expected, "the slots that are lost");
    ensure_eq!(renewal.held.len(), 2, "the number of slots that are held on");
    Ok(Kept::Shown)
}

pub(super) async fn i12_a_lease_ends_after_its_life(lab: Arc<Lab<Ids>>) -> Outcome {
    const LIFE_MAX: Duration = Duration::from_secs(60);
    let one = lab.open().await?;
    let leases = acquire(&one, 3).await?;
    let Some(life) = leases[0].life else {
        // It ends with the process: the allocator that held it is dropped.
        drop(one);
        let other = lab.open().await?;
        acquire(&other, 3).await?;
        return Ok(Kept::Shown);
    };
    ensure!(life > Duration::ZERO, "a lease has no life");
    if life > LIFE_MAX {
        return Ok(Kept::NotApplicable(
            "a lease lives for more than a minute: give the suite a shorter life",
        ));
    }
    let other = lab.open().await?;
    tokio::time::sleep(life + life / 4).await;
    let taken = acquire(&other, 3).await?;
    let again: Vec<u32> = taken.iter().map(|lease| lease.slot).collect();
    for lease in &leases {
        ensure!(again.contains(&lease.slot), "slot {} is not given out after its life", lease.slot);
    }
    let renewal = one.renew(&held(&leases)).await?;
    ensure_eq!(renewal.held.len(), 0, "the slots that the first one goes on holding");
    Ok(Kept::Shown)
}

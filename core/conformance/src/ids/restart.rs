//! Cases on allocators that are opened again: I1, I6.

use super::{acquire, crash, held, same, slots};
use crate::check::{Kept, Outcome, ensure, ensure_eq};
use crate::place::Lab;
use hydra_api::Ids;
use std::sync::Arc;

pub(super) async fn i1_a_slot_is_the_same_after_a_restart(lab: Arc<Lab<Ids>>) -> Outcome {
    let mut expected = None;
    for round in 0..4 {
        let allocator = lab.open().await?;
        let leases = acquire(&allocator, 6).await?;
        let found = slots(&leases);
        same(&found, expected.get_or_insert(found.clone()), &format!("after {round} restarts"))?;
        allocator.release(&held(&leases)).await?;
    }
    Ok(Kept::Shown)
}

pub(super) async fn i1_a_slot_is_the_same_after_a_crash(lab: Arc<Lab<Ids>>) -> Outcome {
    lab.place.set_clock();
    let mut expected = None;
    for round in 0..3 {
        let allocator = lab.open().await?;
        let leases = acquire(&allocator, 6).await?;
        let found = slots(&leases);
        same(&found, expected.get_or_insert(found.clone()), &format!("after {round} crashes"))?;
        crash(&lab, allocator, &leases).await?;
    }
    Ok(Kept::Shown)
}

pub(super) async fn i6_a_reported_port_stays_with_its_slot(lab: Arc<Lab<Ids>>) -> Outcome {
    let allocator = lab.open().await?;
    let mut leases = acquire(&allocator, 4).await?;
    let highest = leases.iter().map(|lease| lease.port).max().unwrap_or(0);
    ensure!(highest > 0, "no lease has a port");
    for (lease, step) in leases.iter_mut().zip(1u16..).step_by(2) {
        lease.port = if highest < 60_000 { highest + step } else { 20_000 + step };
    }
    let expected = slots(&leases);
    ensure_eq!(allocator.renew(&held(&leases)).await?.lost, Vec::<u32>::new(), "what was lost by renewing");
    allocator.release(&held(&leases)).await?;
    let again = acquire(&allocator, 4).await?;
    same(&slots(&again), &expected, "after a release")?;
    allocator.release(&held(&again)).await?;
    drop(allocator);
    let allocator = lab.open().await?;
    let leases = acquire(&allocator, 8).await?;
    let mut found = slots(&leases);
    let ports: std::collections::BTreeSet<_> = leases.iter().map(|lease| lease.port).collect();
    ensure_eq!(ports.len(), leases.len(), "the number of ports that differ, with the moved ones");
    found.retain(|slot, _| expected.contains_key(slot));
    same(&found, &expected, "after a restart")?;
    Ok(Kept::Shown)
}

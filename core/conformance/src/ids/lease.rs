//! Cases on leases that are held: I2 to I5, I7 to I9.

use super::{acquire, held, same, slots};
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::place::Lab;
use crate::tree::Tree;
use hydra_api::{HeadLease, HeadPreview, IdErrorKind, Ids, Purpose};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub(super) async fn i2_what_is_held_is_distinct(lab: Arc<Lab<Ids>>) -> Outcome {
    let allocator = lab.open().await?;
    let mut leases = acquire(&allocator, 5).await?;
    // More may be had from the same allocator, or not; never the same.
    if let Ok(more) = allocator.acquire(std::num::NonZeroU32::MIN).await {
        leases.extend(more);
    }
    distinct(&leases)?;
    Ok(Kept::Shown)
}

fn distinct(held: &[HeadLease]) -> Result<(), Broken> {
    let slots: BTreeSet<_> = held.iter().map(|lease| lease.slot).collect();
    let peers: BTreeSet<_> = held.iter().map(|lease| lease.peer).collect();
    let seeds: BTreeSet<_> = held.iter().map(|lease| *lease.identity.ed25519_seed()).collect();
    let ports: BTreeSet<_> = held.iter().map(|lease| lease.port).collect();
    let found = [slots.len(), peers.len(), seeds.len(), ports.len()];
    ensure_eq!(
        found,
        [held.len(); 4],
        "how many slots, peers, identities and ports differ of {}",
        held.len()
    );
    Ok(())
}

pub(super) async fn i3_more_heads_change_none_of_those_before(lab: Arc<Lab<Ids>>) -> Outcome {
    let allocator = lab.open().await?;
    let few = acquire(&allocator, 3).await?;
    let expected = slots(&few);
    allocator.release(&held(&few)).await?;
    let many = acquire(&allocator, 12).await?;
    distinct(&many)?;
    let mut found = slots(&many);
    found.retain(|slot, _| expected.contains_key(slot));
    same(&found, &expected, "when more are wanted")?;
    allocator.release(&held(&many)).await?;
    let few = acquire(&allocator, 3).await?;
    same(&slots(&few), &expected, "when fewer are wanted again")?;
    Ok(Kept::Shown)
}

pub(super) async fn i4_what_was_released_is_given_out_again(lab: Arc<Lab<Ids>>) -> Outcome {
    let allocator = lab.open().await?;
    let first = acquire(&allocator, 4).await?;
    let expected = slots(&first);
    allocator.release(&held(&first)).await?;
    for round in 1..=3 {
        let again = acquire(&allocator, 4).await?;
        same(&slots(&again), &expected, &format!("in round {round}"))?;
        allocator.release(&held(&again)).await?;
    }
    Ok(Kept::Shown)
}

pub(super) async fn i5_the_peer_is_the_id_of_the_identity(lab: Arc<Lab<Ids>>) -> Outcome {
    let allocator = lab.open().await?;
    for lease in acquire(&allocator, 8).await? {
        let keys = libp2p_identity::Keypair::ed25519_from_bytes(*lease.identity.ed25519_seed())
            .map_err(|cause| Broken::new(format!("slot {} has no Ed25519 seed: {cause}", lease.slot)))?;
        let id = keys.public().to_peer_id().to_bytes();
        ensure!(lease.peer.as_bytes() == id, "slot {} says it is {}", lease.slot, lease.peer);
    }
    Ok(Kept::Shown)
}

pub(super) async fn i7_no_secret_is_shown(lab: Arc<Lab<Ids>>) -> Outcome {
    let allocator = lab.open().await?;
    let leases = acquire(&allocator, 3).await?;
    let shown = format!("{allocator:?} {allocator:#?} {leases:?} {leases:#?}");
    let shown: String = shown.split_whitespace().collect();
    for lease in &leases {
        // A part of eight bytes, wherever it begins, as numbers and in both kinds of hexadecimal.
        for part in lease.identity.ed25519_seed().windows(8) {
            let numbers: String = format!("{part:?}").split_whitespace().collect();
            let mut hex = String::new();
            for byte in part {
                write!(hex, "{byte:02x}").map_err(|_| Broken::new("out of memory"))?;
            }
            for form in [numbers.trim_matches(['[', ']']), &hex, &hex.to_uppercase()] {
                ensure!(!shown.contains(form), "Debug shows the secret of slot {}", lease.slot);
            }
        }
    }
    Ok(Kept::Shown)
}

pub(super) async fn i8_a_slot_is_held_once(lab: Arc<Lab<Ids>>) -> Outcome {
    let one = lab.open().await?;
    let leases = acquire(&one, 3).await?;
    let taken: BTreeSet<_> = leases.iter().map(|lease| lease.slot).collect();
    for _ in 0..3 {
        // Another allocator on the same state, as another process would open it: it opens, for a preview at least.
        let other = lab.open().await?;
        match other.acquire(std::num::NonZeroU32::MIN.saturating_add(2)).await {
            Ok(others) => {
                let twice = others.iter().find(|lease| taken.contains(&lease.slot));
                ensure!(twice.is_none(), "slot {:?} is held twice", twice.map(|lease| lease.slot));
                other.release(&held(&others)).await?;
            }
            Err(error) => ensure_eq!(error.kind(), IdErrorKind::Held, "the kind of the error"),
        }
    }
    // Whoever comes after gets them.
    one.release(&held(&leases)).await?;
    drop(one);
    let other = lab.open().await?;
    acquire(&other, 3).await?;
    Ok(Kept::Shown)
}

pub(super) async fn i9_a_preview_tells_what_acquire_gives(lab: Arc<Lab<Ids>>) -> Outcome {
    let wanted = std::num::NonZeroU32::MIN.saturating_add(4);
    let told = Arc::new(AtomicU32::new(0));
    let progress = {
        let told = Arc::clone(&told);
        Arc::new(move |found| {
            told.fetch_max(found, Ordering::Relaxed);
        })
    };
    let one = lab.open().await?;
    let before = one.preview(wanted, progress.clone()).await?;
    ensure_eq!(told.load(Ordering::Relaxed), wanted.get(), "how many heads the progress was told");
    let held = acquire(&one, wanted.get()).await?;
    let given: Vec<_> =
        held.iter().map(|lease| HeadPreview::new(lease.slot, lease.peer, lease.port)).collect();
    ensure_eq!(before, given, "what was told before the slots were taken");
    // Another allocator on the same state, as another process would open it.
    let other = lab.open().await?;
    ensure_eq!(other.preview(wanted, progress).await?, given, "what is told while the slots are held");
    Ok(Kept::Shown)
}

pub(super) async fn i9_a_check_creates_and_takes_nothing(lab: Arc<Lab<Ids>>) -> Outcome {
    let wanted = std::num::NonZeroU32::MIN.saturating_add(2);
    let progress: hydra_api::Progress = Arc::new(|_| ());
    // Before the first start there may be nothing to tell, and the node has not created its data directory.
    let missing = lab.data_dir().join("missing");
    for place in [lab.data_dir(), &missing] {
        let before = Tree::of(lab.data_dir())?;
        let checked = lab.open_in(place, Purpose::Check).await?;
        drop(checked.preview(wanted, Arc::clone(&progress)).await);
        drop(checked);
        before.unchanged(lab.data_dir())?;
    }
    let one = lab.open().await?;
    let leases = acquire(&one, wanted.get()).await?;
    let given: Vec<_> =
        leases.iter().map(|lease| HeadPreview::new(lease.slot, lease.peer, lease.port)).collect();
    let before = Tree::of(lab.data_dir())?;
    let checked = lab.open_for(Purpose::Check).await?;
    ensure_eq!(
        checked.preview(wanted, progress).await?,
        given,
        "what a check tells while the slots are held"
    );
    drop(checked);
    before.unchanged(lab.data_dir())?;
    let renewal = one.renew(&held(&leases)).await?;
    ensure_eq!(renewal.lost, Vec::<u32>::new(), "what was lost by a check");
    Ok(Kept::Shown)
}

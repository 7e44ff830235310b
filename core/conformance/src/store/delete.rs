//! Cases on deletions: S20.

use super::later;
use super::shop::Shop;
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::{NOW, content_key, key, peer, record};
use crate::place::Lab;
use hydra_api::{
    DeleteProgress, Deletion, Durability, EstimateMethod, PeerId, ProviderRecord, Store, StoreError,
};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

pub(super) const NO_DELETION: Kept = Kept::NotApplicable("the store has no deletion");

/// The limit of a deletion that is not about limits.
const ANY: NonZeroU32 = NonZeroU32::new(1000).unwrap();

/// Whether the store has the operation that gave this result for a key or a page that may not be there.
pub(crate) fn supports<T>(result: Result<T, StoreError>) -> Result<bool, Broken> {
    match result {
        Err(error) if error.is_not_supported() => Ok(false),
        result => result.map(|_| true).map_err(Broken::from),
    }
}

async fn deletes(shop: &Shop) -> Result<bool, Broken> {
    supports(shop.0.delete(Deletion::Key(key(u64::MAX)), ANY).await)
}

/// Deletes to the end; how many records were removed.
async fn delete(shop: &Shop, deletion: Deletion) -> Result<u64, Broken> {
    const STEPS_MAX: u32 = 100;
    let mut removed = 0;
    for _ in 0..STEPS_MAX {
        let step = shop.0.delete(deletion, ANY).await?;
        ensure!(step.removed <= u64::from(ANY.get()), "a step of {ANY} removed {}", step.removed);
        removed += step.removed;
        if step.progress == DeleteProgress::Done {
            return Ok(removed);
        }
    }
    Err(Broken::new(format!("the deletion did not end within {STEPS_MAX} steps")))
}

async fn peers_of(shop: &Shop, record: &ProviderRecord) -> Result<BTreeSet<PeerId>, Broken> {
    Ok(shop.providers_of(record.key, NOW, 1000).await?.into_iter().map(|one| one.peer).collect())
}

pub(super) async fn s20_a_deletion_removes_what_it_names(lab: Arc<Lab<Store>>) -> Outcome {
    let mut shop = Shop::open(&lab).await?;
    if !deletes(&shop).await? {
        return Ok(NO_DELETION);
    }
    let of_key: Vec<_> = (1..=3).map(|number| record(1, number)).collect();
    let prefix = ProviderRecord { key: content_key(&key(1).as_bytes()[..33]), ..record(1, 1) };
    let others = [record(2, 1), prefix, record(3, 2)];
    shop.insert(&of_key, NOW).await?;
    shop.insert(&others, NOW).await?;

    let one = Deletion::Record(key(1), peer(2));
    ensure_eq!(delete(&shop, one).await?, 1, "what the deletion of one record removed");
    ensure_eq!(peers_of(&shop, &of_key[0]).await?, [peer(1), peer(3)].into(), "the providers that are left");
    for absent in [one, Deletion::Record(key(1), peer(99)), Deletion::Record(key(99), peer(1))] {
        ensure_eq!(delete(&shop, absent).await?, 0, "what the deletion of an absent record removed");
    }
    ensure_eq!(delete(&shop, Deletion::Key(key(99))).await?, 0, "what the deletion of an absent key removed");

    // A record that expires earlier than the one that was removed is a new one.
    let again = ProviderRecord { expires: later(1000), ..record(1, 2) };
    shop.insert(std::slice::from_ref(&again), NOW).await?;
    shop.has(&again, NOW, 10).await?;

    ensure_eq!(delete(&shop, Deletion::Key(key(1))).await?, 3, "what the deletion of a key removed");
    ensure_eq!(peers_of(&shop, &of_key[0]).await?.len(), 0, "the providers of a key that was removed");
    for other in &others {
        shop.has(other, NOW, 10).await?;
    }
    shop.insert(&of_key[1..], NOW).await?;
    for record in of_key[1..].iter().chain(&others) {
        shop.has(record, NOW, 10).await?;
    }
    if let Durability::SurvivesRestart { .. } = shop.0.profile().durability {
        ensure_eq!(delete(&shop, Deletion::Record(key(2), peer(1))).await?, 1, "what the deletion removed");
        shop.0.close().await?;
        drop(shop);
        shop = Shop::open(&lab).await?;
        ensure_eq!(peers_of(&shop, &others[0]).await?.len(), 0, "the providers after a restart");
        let left = [peer(2), peer(3)].into();
        ensure_eq!(peers_of(&shop, &of_key[0]).await?, left, "the providers of another key after a restart");
    }
    Ok(Kept::Shown)
}

pub(super) async fn s20_a_hot_key_is_deleted_in_steps(lab: Arc<Lab<Store>>) -> Outcome {
    const PROVIDERS: u64 = 300;
    const STEP: NonZeroU32 = NonZeroU32::new(70).unwrap();
    let shop = Shop::open(&lab).await?;
    if !deletes(&shop).await? {
        return Ok(NO_DELETION);
    }
    let hot: Vec<_> = (0..PROVIDERS)
        .map(|number| ProviderRecord { expires: later(1000 + number as u32 % 7), ..record(1, number) })
        .collect();
    shop.insert(&hot, NOW).await?;
    shop.insert(&[record(2, 1)], NOW).await?;
    // One from the middle first.
    let one = Deletion::Record(key(1), peer(PROVIDERS / 2));
    ensure_eq!(delete(&shop, one).await?, 1, "what the deletion of one record removed");
    let mut left = PROVIDERS - 1;
    loop {
        let there = peers_of(&shop, &hot[0]).await?.len() as u64;
        ensure_eq!(there, left, "the providers that are left");
        let step = shop.0.delete(Deletion::Key(key(1)), STEP).await?;
        ensure!(step.removed <= u64::from(STEP.get()), "a step of {STEP} removed {}", step.removed);
        left = left.saturating_sub(step.removed);
        match step.progress {
            DeleteProgress::Done => break,
            DeleteProgress::More => ensure!(step.removed > 0, "a step that is not the last removed nothing"),
        }
    }
    ensure_eq!(left, 0, "the providers that are left in the end");
    ensure_eq!(peers_of(&shop, &hot[0]).await?.len(), 0, "the providers that are read in the end");
    shop.has(&record(2, 1), NOW, 10).await?;
    let estimate = shop.0.estimate().await?;
    if estimate.method == EstimateMethod::Counted {
        ensure_eq!(estimate.records, 1, "the count of the records that are left");
    }
    Ok(Kept::Shown)
}

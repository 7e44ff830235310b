//! Cases on a store that is opened only to be checked, S19, or to be used without a node.

use super::shop::Shop;
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::{NOW, key, record};
use crate::place::Lab;
use crate::tree::Tree;
use hydra_api::{Durability, ProviderStore, Purpose, Sharing, Store};
use std::path::Path;
use std::sync::Arc;

pub(super) async fn s19_a_check_of_an_empty_place_changes_nothing(lab: Arc<Lab<Store>>) -> Outcome {
    let before = Tree::of(lab.data_dir())?;
    check(&lab).await?;
    before.unchanged(lab.data_dir())?;
    // The node has not created its data directory yet.
    let missing = lab.data_dir().join("missing");
    check_in(&lab, &missing).await?;
    ensure!(!missing.exists(), "the data directory was created");
    before.unchanged(lab.data_dir())?;
    Ok(Kept::Shown)
}

pub(super) async fn s19_a_check_of_a_used_place_changes_nothing(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    let outlives = outlives(&*shop.0);
    let records: Vec<_> = (0..500).map(|number| record(number, number % 7)).collect();
    shop.insert(&records, NOW).await?;
    // While another process serves it may be refused, and must not disturb that one.
    if let Ok(checked) = lab.open_for(Purpose::Check).await {
        checked.close().await?;
    }
    shop.insert(&[record(500, 1)], NOW).await?;
    for record in &records {
        shop.has(record, NOW, 10).await?;
    }
    shop.0.close().await?;
    drop(shop);
    let before = Tree::of(lab.data_dir())?;
    check(&lab).await?;
    before.unchanged(lab.data_dir())?;
    if outlives {
        let shop = Shop::open(&lab).await?;
        for number in 0..=500 {
            ensure_eq!(
                shop.providers_of(key(number), NOW, 10).await?.len(),
                1,
                "the providers of key {number}"
            );
        }
    }
    Ok(Kept::Shown)
}

pub(super) async fn what_is_not_there_cannot_be_used(lab: Arc<Lab<Store>>) -> Outcome {
    let before = Tree::of(lab.data_dir())?;
    let missing = lab.data_dir().join("missing");
    // The second time shows that the first has made nothing, on a server either.
    for place in [lab.data_dir(), lab.data_dir(), &missing] {
        if let Ok(store) = lab.open_in(place, Purpose::Use).await {
            let keeps = outlives(&*store);
            store.close().await?;
            ensure!(!keeps, "it is open although there is nothing");
            return Ok(Kept::NotApplicable("the store keeps nothing that could be looked at"));
        }
        before.unchanged(lab.data_dir())?;
    }
    let shop = Shop::open(&lab).await?;
    shop.insert(&[record(1, 1)], NOW).await?;
    shop.0.close().await?;
    drop(shop);
    let used = Shop(lab.open_for(Purpose::Use).await?);
    used.has(&record(1, 1), NOW, 10).await?;
    used.0.close().await?;
    Ok(Kept::Shown)
}

/// True if the records of a store are still there when it is closed and opened again.
fn outlives(store: &dyn ProviderStore) -> bool {
    let profile = store.profile();
    matches!(profile.durability, Durability::SurvivesRestart { .. })
        || profile.sharing == Sharing::BetweenProcesses
}

/// Opens the store as `hydra check` does, asks what can be asked without a change, and closes it.
async fn check(lab: &Lab<Store>) -> Result<(), Broken> {
    check_in(lab, lab.data_dir()).await
}

async fn check_in(lab: &Lab<Store>, data_dir: &Path) -> Result<(), Broken> {
    let store = lab.open_in(data_dir, Purpose::Check).await?;
    let _ = store.profile();
    store.close().await?;
    Ok(())
}

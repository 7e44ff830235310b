//! Cases on a store that is opened only to be checked: S19.

use super::shop::Shop;
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::{NOW, key, record};
use crate::place::Lab;
use hydra_api::{Durability, Purpose, Sharing, Store};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) async fn s19_a_check_of_an_empty_place_changes_nothing(lab: Arc<Lab<Store>>) -> Outcome {
    let before = tree(lab.data_dir())?;
    check(&lab).await?;
    unchanged(&lab, &before)?;
    // The node has not created its data directory yet.
    let missing = lab.data_dir().join("missing");
    check_in(&lab, &missing).await?;
    ensure!(!missing.exists(), "the data directory was created");
    unchanged(&lab, &before)?;
    Ok(Kept::Shown)
}

pub(super) async fn s19_a_check_of_a_used_place_changes_nothing(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    let outlives = matches!(shop.0.profile().durability, Durability::SurvivesRestart { .. });
    let outlives = outlives || shop.0.profile().sharing == Sharing::BetweenProcesses;
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
    let before = tree(lab.data_dir())?;
    check(&lab).await?;
    unchanged(&lab, &before)?;
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

/// Every path below a directory, with the bytes of files.
type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

fn tree(root: &Path) -> Result<Tree, Broken> {
    let failed = |cause: std::io::Error| Broken::new(format!("the data directory cannot be read: {cause}"));
    let mut tree = Tree::new();
    let mut left = vec![root.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(&dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                left.push(path.clone());
                tree.insert(path, None);
            } else {
                let bytes = std::fs::read(&path).map_err(failed)?;
                tree.insert(path, Some(bytes));
            }
        }
    }
    Ok(tree)
}

fn unchanged(lab: &Lab<Store>, before: &Tree) -> Result<(), Broken> {
    let after = tree(lab.data_dir())?;
    let paths: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for path in paths {
        ensure!(before.get(path) == after.get(path), "the check has changed {}", path.display());
    }
    Ok(())
}

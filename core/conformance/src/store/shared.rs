//! Cases on stores that are opened more than once: S18, S19.

use super::{Shop, later};
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::{NOW, record};
use crate::place::Lab;
use hydra_api::{PurgeProgress, Purpose, Sharing, Store};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) async fn s18_processes_read_each_others_records_and_one_purges(lab: Arc<Lab<Store>>) -> Outcome {
    let one = Shop::open(&lab).await?;
    if one.0.profile().sharing == Sharing::OneProcess {
        return Ok(Kept::NotApplicable("the store belongs to one process"));
    }
    // Another one on the same state, as another process would open it.
    let other = Shop::open(&lab).await?;
    for number in 0..100 {
        let (writes, reads) = if number % 2 == 0 { (&one, &other) } else { (&other, &one) };
        writes.insert(&[record(number, number)], NOW).await?;
        reads.has(&record(number, number), NOW, 10).await?;
    }
    let expired = later(49 * 3_600);
    let first = one.0.purge_expired(expired, NonZeroU32::MIN).await?;
    let second = other.0.purge_expired(expired, NonZeroU32::MIN).await?;
    let purges = [first, second].map(|step| step.progress != PurgeProgress::Elsewhere);
    ensure_eq!(purges, [true, false], "which of two that purge at a time do");
    // What one leaves behind when it ends, the other takes up.
    one.0.close().await?;
    ensure_eq!(other.purge(expired, 1000).await? + first.removed, 100, "how many records were purged");
    Ok(Kept::Shown)
}

pub(super) async fn s19_a_check_changes_nothing(lab: Arc<Lab<Store>>) -> Outcome {
    let empty = files(lab.data_dir())?;
    // It may fail where there is nothing to look at.
    drop(lab.open_for(Purpose::Check).await);
    ensure_eq!(files(lab.data_dir())?, empty, "the files after a check of a store that was never opened");
    let shop = Shop::open(&lab).await?;
    shop.insert(&(0..100).map(|number| record(number, number)).collect::<Vec<_>>(), NOW).await?;
    shop.0.close().await?;
    drop(shop);
    let used = files(lab.data_dir())?;
    drop(lab.open_for(Purpose::Check).await?);
    let after = files(lab.data_dir())?;
    let changed: Vec<_> = after.iter().filter(|(path, bytes)| used.get(*path) != Some(*bytes)).collect();
    let changed: Vec<_> = changed.into_iter().map(|(path, _)| path).collect();
    ensure!(changed.is_empty() && after.len() == used.len(), "a check changed files: {changed:?}");
    // Beside one that serves: it may say that the store is in use, and takes nothing from it.
    let shop = Shop::open(&lab).await?;
    drop(lab.open_for(Purpose::Check).await);
    shop.insert(&[record(1, 1)], NOW).await?;
    Ok(Kept::Shown)
}

/// Every file below a directory, with what is in it.
fn files(directory: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Broken> {
    let failed = |cause: std::io::Error| Broken::new(format!("cannot read the data directory: {cause}"));
    let (mut found, mut left) = (BTreeMap::new(), vec![directory.to_owned()]);
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                found.insert(path.clone(), Vec::new());
                left.push(path);
            } else {
                let bytes = std::fs::read(&path).map_err(failed)?;
                found.insert(path, bytes);
            }
        }
    }
    Ok(found)
}

//! The purge, the estimate, deletions, and the end.

use crate::tiers::Tiers;
use futures::future::{join, join_all};
use hydra_api::{
    DeleteProgress, Deleted, Deletion, Estimate, Expiry, PurgeProgress, Purged, StoreError, StoreErrorKind,
    UnixSeconds,
};
use std::num::NonZeroU32;
use std::time::Duration;

/// The time that an upper tier has to close.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// A step of the purge in each tier that does not remove expired records itself. What the last tier has removed counts; there is
/// more as long as any tier has more.
pub(crate) async fn purge_expired(
    tiers: &Tiers,
    now: UnixSeconds,
    limit: NonZeroU32,
) -> Result<Purged, StoreError> {
    let of_uppers = tiers.uppers.iter().map(async |upper| {
        let is_purged = upper.open().is_some_and(|store| store.profile().expiry == Expiry::ByPurge);
        if !is_purged {
            return false;
        }
        let purged = upper.purge_expired(now, limit, tiers.times.write_max).await;
        purged.is_some_and(|purged| purged.progress == PurgeProgress::More)
    });
    let of_last = async {
        match tiers.last.profile().expiry {
            Expiry::ByPurge => tiers.last.purge_expired(now, limit).await,
            Expiry::ByItself => Ok(Purged::new(0, PurgeProgress::Done)),
        }
    };
    let (of_last, more_above) = join(of_last, join_all(of_uppers)).await;
    let mut purged = of_last?;
    if more_above.contains(&true) {
        purged.progress = PurgeProgress::More;
    }
    Ok(purged)
}

/// The estimate of the last tier. Upper tiers are asked too, for with it a store refreshes what it publishes of its server.
///
/// # Errors
/// That of the last tier.
pub(crate) async fn estimate(tiers: &Tiers) -> Result<Estimate, StoreError> {
    let of_uppers = join_all(tiers.uppers.iter().map(|upper| upper.estimate(tiers.times.write_max)));
    let (of_last, _) = join(tiers.last.estimate(), of_uppers).await;
    of_last
}

/// Removes the records from every tier, the last one first: what it has no more is filled into none. Its removals count. The
/// step that is the last one there removes all that upper tiers still have.
///
/// # Errors
/// Those of any tier, and one that is not open: it would go on answering with what is to be removed. Asked again, what is left
/// is removed.
pub(crate) async fn delete(
    tiers: &Tiers,
    deletion: Deletion,
    limit: NonZeroU32,
) -> Result<Deleted, StoreError> {
    let deleted = tiers.last.delete(deletion, limit).await?;
    let doubt = tiers.doubts.raise();
    for upper in &tiers.uppers {
        upper.marks.doubt(deletion.key(), doubt);
    }
    for upper in &tiers.uppers {
        let error = |why: &'static str| StoreError::because(StoreErrorKind::Unavailable, "delete", why);
        let store = upper.open().ok_or_else(|| error("an upper tier is not open"))?;
        loop {
            let step = store.delete(deletion, limit).await?;
            if step.progress == DeleteProgress::Done || deleted.progress == DeleteProgress::More {
                break;
            }
            if step.removed == 0 {
                return Err(error("an upper tier makes no progress with a deletion"));
            }
        }
    }
    Ok(deleted)
}

/// Closes all tiers at once. Of upper tiers an error is logged.
///
/// # Errors
/// That of the last tier.
pub(crate) async fn close(tiers: &Tiers) -> Result<(), StoreError> {
    let of_uppers = join_all(tiers.uppers.iter().map(|upper| upper.close(CLOSE_MAX)));
    let (of_last, _) = join(tiers.last.close(), of_uppers).await;
    of_last
}

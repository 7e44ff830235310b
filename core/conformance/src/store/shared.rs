//! Cases on a store that several processes have open: S18. Each is a second open of the same place.

use super::later;
use super::shop::Shop;
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::{NOW, key, record};
use crate::place::Lab;
use hydra_api::{ProviderRecord, PurgeProgress, Sharing, Store};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NOT_SHARED: Kept = Kept::NotApplicable("the store belongs to one process");

pub(super) async fn s18_each_process_reads_what_another_inserts(lab: Arc<Lab<Store>>) -> Outcome {
    let one = Shop::open(&lab).await?;
    if one.0.profile().sharing == Sharing::OneProcess {
        return Ok(NOT_SHARED);
    }
    let other = Shop::open(&lab).await?;
    for number in 0..100 {
        let (from, to) = if number % 2 == 0 { (&one, &other) } else { (&other, &one) };
        // What it has read as absent it must not go on to answer.
        ensure_eq!(to.providers_of(key(number), NOW, 10).await?.len(), 0, "the providers of a new key");
        from.insert(&[record(number, number)], NOW).await?;
        to.has(&record(number, number), NOW, 10).await?;
        let longer = ProviderRecord { expires: later(900_000), ..record(number, number) };
        to.insert(std::slice::from_ref(&longer), NOW).await?;
        from.has(&longer, NOW, 10).await?;
    }
    // The end of one is not that of the others.
    one.0.close().await?;
    other.insert(&[record(200, 1)], NOW).await?;
    other.has(&record(200, 1), NOW, 10).await?;
    Ok(Kept::Shown)
}

pub(super) async fn s18_one_process_at_a_time_purges(lab: Arc<Lab<Store>>) -> Outcome {
    const RECORDS: u64 = 200;
    const STEP: NonZeroU32 = NonZeroU32::new(10).unwrap();
    let one = Shop::open(&lab).await?;
    if one.0.profile().sharing == Sharing::OneProcess {
        return Ok(NOT_SHARED);
    }
    let other = Shop::open(&lab).await?;
    let records: Vec<_> =
        (0..RECORDS).map(|number| ProviderRecord { expires: later(100), ..record(number, number) }).collect();
    one.insert(&records, NOW).await?;
    let mut removed = 0;
    for step in 0..5 {
        let purged = one.0.purge_expired(later(100), STEP).await?;
        ensure_eq!(
            purged.progress,
            PurgeProgress::More,
            "the progress of the process that purges, in step {step}"
        );
        removed += purged.removed;
        let elsewhere = other.0.purge_expired(later(100), STEP).await?;
        ensure_eq!(
            elsewhere.progress,
            PurgeProgress::Elsewhere,
            "the progress of another process, in step {step}"
        );
        ensure_eq!(elsewhere.removed, 0, "what another process removed, in step {step}");
    }
    one.0.close().await?;
    removed += takes_over(&other, STEP).await?;
    ensure!(removed <= RECORDS, "{removed} records were removed of {RECORDS}");
    Ok(Kept::Shown)
}

/// When the process that purges is gone, another one takes over; how many records it removes until the end.
async fn takes_over(shop: &Shop, step: NonZeroU32) -> Result<u64, Broken> {
    const LEASE_MAX: Duration = Duration::from_secs(120);
    let since = Instant::now();
    let mut removed = 0;
    loop {
        let purged = shop.0.purge_expired(later(100), step).await?;
        removed += purged.removed;
        match purged.progress {
            PurgeProgress::Done => return Ok(removed),
            PurgeProgress::More => {}
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        ensure!(
            since.elapsed() < LEASE_MAX,
            "nobody purges {LEASE_MAX:?} after the process that did has closed"
        );
    }
}

//! Cases on the purge, the estimate, deletions, closing and reopening: R8, R10, R12, R14.

use super::shop::{Shop, after, key, later, open, put, value};
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::NOW;
use crate::place::Lab;
use hydra_api::{Durability, Expiry, Store, StoreError, StoreErrorKind, ValuePut, ValueRecord};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) async fn r8_a_purge_goes_in_steps_and_spares_the_living(lab: Arc<Lab<Store>>) -> Outcome {
    let opened = Instant::now();
    let shop = open!(&lab);
    let until = |seconds, put: ValuePut| {
        let record = ValueRecord { expires: later(seconds), ..put.record };
        ValuePut { record, ..put }
    };
    let life = |number: u64| if number.is_multiple_of(3) { 500 } else { 1000 };
    let puts: Vec<_> = (0..600).map(|number| until(life(number), put(number, number))).collect();
    shop.store(&puts, NOW).await?;
    ensure_eq!(shop.purge(NOW, 50).await?, 0, "what was removed while all lived");
    let removed = shop.purge(later(500), 7).await?;
    ensure!(removed <= 200, "{removed} records were removed of the 200 that had expired");
    let living: Vec<_> = puts.iter().filter(|put| put.record.expires > later(500)).cloned().collect();
    shop.has(&living, later(500)).await?;
    // The keys of what was purged have nothing, and take new records.
    shop.store(&[until(2000, put(0, 7)), until(2000, put(3, 8))], later(500)).await?;
    shop.purge(later(1000), 100).await?;
    shop.has(&[until(2000, put(0, 7)), until(2000, put(3, 8))], later(1000)).await?;
    if shop.0.profile().expiry == Expiry::ByPurge {
        count(&shop, 2, 602, opened).await?;
    }
    Ok(Kept::Shown)
}

/// Waits until the estimate is this number of records, or tells of a time before this call, when there were at most so many. There were
/// none before the store was opened.
async fn count(shop: &Shop, records: u64, most: u64, opened: Instant) -> Result<(), Broken> {
    const PRECISION: Duration = Duration::from_secs(1);
    const REST_MAX: Duration = Duration::from_secs(30);
    let changed = Instant::now();
    loop {
        let estimate = shop.values()?.estimate_values().await?;
        if estimate.records.abs_diff(records) <= records / 5 {
            return Ok(());
        }
        let waited = changed.elapsed();
        let is_of_then = estimate.age <= opened.elapsed() + PRECISION && estimate.records <= most + most / 5;
        ensure!(
            is_of_then && estimate.age + PRECISION >= waited,
            "there are {records} records, and the store says {estimate:?}"
        );
        if waited > REST_MAX {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(super) async fn r10_values_of_a_closed_store_are_unavailable(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = open!(&lab);
    shop.store(&[put(1, 1)], NOW).await?;
    shop.0.close().await?;
    let values = shop.values()?;
    unavailable("get", values.get(Arc::from([key(1)]), NOW).await)?;
    unavailable("put_if", values.put_if(Arc::from([put(2, 2)]), NOW).await)?;
    unavailable("purge_values", values.purge_values(NOW, NonZeroU32::MIN).await)?;
    unavailable("estimate_values", values.estimate_values().await)?;
    unavailable("delete_values", values.delete_values(Arc::from([key(1)])).await)?;
    Ok(Kept::Shown)
}

fn unavailable<T: std::fmt::Debug>(call: &str, result: Result<T, StoreError>) -> Result<(), Broken> {
    match result {
        Err(error) if error.kind() == StoreErrorKind::Unavailable => Ok(()),
        other => Err(Broken::new(format!("{call} after close gave {other:?}"))),
    }
}

pub(super) async fn r10_values_survive_a_restart(lab: Arc<Lab<Store>>) -> Outcome {
    let mut puts: Vec<ValuePut> = Vec::new();
    for round in 0..3u64 {
        let shop = open!(&lab);
        if shop.0.profile().durability == Durability::InMemory {
            return Ok(Kept::NotApplicable("the store keeps its records in memory"));
        }
        shop.has(&puts, NOW).await?;
        // Each round adds new ones and replaces some.
        for (number, put) in (0..).zip(&mut puts).step_by(3) {
            *put = ValuePut {
                seen: Some(put.record.value.clone()),
                ..super::shop::put(number, 5000 * round + number)
            };
        }
        let replaced: Vec<_> = puts.iter().step_by(3).cloned().collect();
        shop.store(&replaced, NOW).await?;
        let first = puts.len() as u64;
        let fresh: Vec<_> = (first..first + 150).map(|number| put(number, number)).collect();
        shop.store(&fresh, NOW).await?;
        puts.extend(fresh);
        shop.0.close().await?;
    }
    let shop = open!(&lab);
    shop.has(&puts, NOW).await?;
    Ok(Kept::Shown)
}

pub(super) async fn r12_the_estimate_of_values_is_near_the_truth(lab: Arc<Lab<Store>>) -> Outcome {
    let opened = Instant::now();
    let shop = open!(&lab);
    let puts: Vec<_> = (0..1000).map(|number| put(number, number)).collect();
    shop.store(&puts, NOW).await?;
    // Replaced, not added.
    let again: Vec<_> = (0..1000).map(|number| after(number, put(number, number + 1))).collect();
    shop.store(&again, NOW).await?;
    count(&shop, 1000, 1000, opened).await?;
    let estimate = shop.values()?.estimate_values().await?;
    if estimate.records.abs_diff(1000) <= 200 {
        let of = |put: &ValuePut| (put.key.as_bytes().len() + put.record.value.len()) as u64;
        let bytes: u64 = again.iter().map(of).sum();
        ensure!(
            estimate.bytes.abs_diff(bytes) <= bytes / 5,
            "there are {bytes} bytes of keys and values, and the store says {estimate:?}"
        );
    }
    Ok(Kept::Shown)
}

pub(super) async fn r12_the_estimate_of_values_is_no_count(lab: Arc<Lab<Store>>) -> Outcome {
    // 200 times the records may not cost 50 times the time: the fastest of many calls at each size.
    async fn fastest(shop: &Shop) -> Result<Duration, Broken> {
        let mut fastest = Duration::MAX;
        for _ in 0..50 {
            let begun = Instant::now();
            shop.values()?.estimate_values().await?;
            fastest = fastest.min(begun.elapsed());
        }
        Ok(fastest.max(Duration::from_micros(20)))
    }
    let shop = open!(&lab);
    shop.store(&(0..100).map(|number| put(number, number)).collect::<Vec<_>>(), NOW).await?;
    let of_few = fastest(&shop).await?;
    shop.store(&(100..20_100).map(|number| put(number, number)).collect::<Vec<_>>(), NOW).await?;
    let of_many = fastest(&shop).await?;
    ensure!(of_many < of_few * 50, "an estimate of 100 records took {of_few:?}, one of 20,000 {of_many:?}");
    Ok(Kept::Shown)
}

pub(super) async fn r14_a_deletion_removes_its_keys(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = open!(&lab);
    let puts: Vec<_> = (0..10).map(|number| put(number, number)).collect();
    shop.store(&puts, NOW).await?;
    let removed = shop.values()?.delete_values(Arc::from([key(3), key(4), key(77), key(3)])).await?;
    ensure_eq!(removed, 2, "the records that were removed");
    for (number, found) in (0..10).zip(shop.get(&(0..10).map(key).collect::<Vec<_>>(), NOW).await?) {
        let expected = (number != 3 && number != 4).then(|| value(number));
        ensure_eq!(found.map(|record| record.value), expected, "the record of key {number}");
    }
    ensure_eq!(shop.values()?.delete_values(Arc::from([])).await?, 0, "the records that were removed");
    shop.store(&[put(3, 30)], NOW).await?;
    shop.has(&[put(3, 30)], NOW).await?;
    Ok(Kept::Shown)
}

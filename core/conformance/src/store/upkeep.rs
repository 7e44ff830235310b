//! Cases on the purge, the estimate, closing and reopening: S10 to S13.

use super::{Shop, later};
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::{LIFE, NOW, key, record};
use crate::place::Lab;
use hydra_api::{Durability, EstimateMethod, ProviderRecord, Store, StoreError, StoreErrorKind};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) async fn s10_a_purge_goes_in_steps_and_spares_the_living(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    let life = |number: u64| if number.is_multiple_of(3) { 500 } else { 1000 };
    let batch: Vec<_> = (0..3000)
        .map(|number| ProviderRecord { expires: later(life(number)), ..record(number / 2, number) })
        .collect();
    shop.insert(&batch, NOW).await?;
    ensure_eq!(shop.purge(NOW, 100).await?, 0, "what was removed while all lived");
    let removed = shop.purge(later(500), 7).await?;
    ensure!(removed <= 1000, "{removed} records were removed of the 1,000 that had expired");
    for record in batch.iter().filter(|record| record.expires > later(500)) {
        shop.has(record, later(500), 10).await?;
    }
    near_the_truth(&shop, 2000).await?;
    shop.purge(later(1000), 100).await?;
    near_the_truth(&shop, 0).await?;
    Ok(Kept::Shown)
}

pub(super) async fn s10_a_hot_key_is_purged_in_steps(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    let batch: Vec<_> = (0..1000)
        .map(|number| ProviderRecord { expires: later(500 + 500 * (number % 2) as u32), ..record(1, number) })
        .collect();
    shop.insert(&batch, NOW).await?;
    let removed = shop.purge(later(500), 9).await?;
    ensure!(removed <= 500, "{removed} records were removed of the 500 that had expired");
    ensure_eq!(shop.providers_of(key(1), later(500), 2000).await?.len(), 500, "the living");
    near_the_truth(&shop, 500).await?;
    Ok(Kept::Shown)
}

pub(super) async fn s11_the_estimate_is_near_the_truth(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    near_the_truth(&shop, 0).await?;
    // 3,000 keys of one provider, a key of 1,000 providers, and all of it again.
    let mut batch: Vec<_> = (0..3000).map(|number| record(number, 1)).collect();
    batch.extend((0..1000).map(|number| record(9000, number)));
    for seconds in [0, 60] {
        for record in &mut batch {
            record.expires = later(seconds).saturating_add(LIFE);
        }
        shop.insert(&batch, later(seconds)).await?;
    }
    near_the_truth(&shop, 4000).await?;
    if let Durability::SurvivesRestart { .. } = shop.0.profile().durability {
        shop.0.close().await?;
        drop(shop);
        near_the_truth(&Shop::open(&lab).await?, 4000).await?;
    }
    Ok(Kept::Shown)
}

/// Gives the store time to come to rest, as statistics of a database are renewed only now and then.
async fn near_the_truth(shop: &Shop, records: u64) -> Result<(), Broken> {
    const REST_MAX: Duration = Duration::from_secs(30);
    let written = Instant::now();
    loop {
        let estimate = shop.0.estimate().await?;
        let (low, high) = (records - records / 5, records + records / 5);
        if (low..=high).contains(&estimate.records) {
            return Ok(());
        }
        let waited = written.elapsed();
        // What is counted with every write has nothing to wait for.
        if waited > REST_MAX || estimate.method == EstimateMethod::Counted {
            ensure!(estimate.age >= waited, "there are {records} records, and the store says {estimate:?}");
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(super) async fn s11_the_estimate_is_no_count(lab: Arc<Lab<Store>>) -> Outcome {
    // 200 times the records may not cost 50 times the time: the fastest of many calls at each size.
    async fn fastest(shop: &Shop) -> Result<Duration, Broken> {
        let mut fastest = Duration::MAX;
        for _ in 0..50 {
            let begun = Instant::now();
            shop.0.estimate().await?;
            fastest = fastest.min(begun.elapsed());
        }
        Ok(fastest.max(Duration::from_micros(20)))
    }
    let shop = Shop::open(&lab).await?;
    shop.insert(&(0..100).map(|number| record(number, number % 7)).collect::<Vec<_>>(), NOW).await?;
    let of_few = fastest(&shop).await?;
    shop.insert(&(0..20_000).map(|number| record(number, number % 7)).collect::<Vec<_>>(), NOW).await?;
    let of_many = fastest(&shop).await?;
    ensure!(of_many < of_few * 50, "an estimate of 100 records took {of_few:?}, one of 20,000 {of_many:?}");
    Ok(Kept::Shown)
}

pub(super) async fn s12_a_closed_store_is_unavailable(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    shop.insert(&[record(1, 1)], NOW).await?;
    shop.0.close().await?;
    unavailable("insert", shop.0.insert([record(1, 2)].into(), NOW).await)?;
    unavailable("providers", shop.0.providers([key(1)].into(), NOW, NonZeroU32::MIN).await)?;
    unavailable("purge_expired", shop.0.purge_expired(NOW, NonZeroU32::MIN).await)?;
    unavailable("estimate", shop.0.estimate().await)?;
    shop.0.close().await.map_err(|error| Broken::new(format!("closing it twice: {error}")))?;
    // Two at once as well.
    let (one, other) = tokio::join!(shop.0.close(), shop.0.close());
    one.and(other)?;
    Ok(Kept::Shown)
}

fn unavailable<T: std::fmt::Debug>(call: &str, result: Result<T, StoreError>) -> Result<(), Broken> {
    match result {
        Err(error) if error.kind() == StoreErrorKind::Unavailable => Ok(()),
        other => Err(Broken::new(format!("{call} after close gave {other:?}"))),
    }
}

pub(super) async fn s13_records_survive_a_restart(lab: Arc<Lab<Store>>) -> Outcome {
    let mut batch: Vec<_> = (0..2000).map(|number| record(number, number % 50)).collect();
    batch.extend((0..200).map(|number| record(9000, number)));
    for round in 0..3u64 {
        let shop = Shop::open(&lab).await?;
        if shop.0.profile().durability == Durability::InMemory {
            return Ok(Kept::NotApplicable("the store keeps its records in memory"));
        }
        for record in &batch[..batch.len() * round.min(1) as usize] {
            shop.has(record, NOW, 1000).await?;
        }
        // Each round adds new ones and makes some live longer.
        batch.push(record(50_000 + round, 7));
        for record in batch.iter_mut().step_by(3 + round as usize) {
            record.expires = record.expires.saturating_add(Duration::from_secs(60));
        }
        shop.insert(&batch, NOW).await?;
        shop.0.close().await?;
    }
    Ok(Kept::Shown)
}

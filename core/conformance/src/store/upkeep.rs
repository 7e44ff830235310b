//! Cases on the purge, the estimate, closing and reopening: S10 to S13.

use super::delete::supports;
use super::later;
use super::shop::Shop;
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::{LIFE, NOW, batch, key, record};
use crate::place::Lab;
use hydra_api::{Deletion, Durability, EstimateMethod, ProviderRecord, Store, StoreError, StoreErrorKind};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) async fn s10_a_purge_goes_in_steps_and_spares_the_living(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    let mut history = History::new();
    let life = |number: u64| if number.is_multiple_of(3) { 500 } else { 1000 };
    let batch: Vec<_> = (0..3000)
        .map(|number| ProviderRecord { expires: later(life(number)), ..record(number / 2, number) })
        .collect();
    history.until(3000, shop.insert(&batch, NOW)).await?;
    ensure_eq!(shop.purge(NOW, 100).await?, 0, "what was removed while all lived");
    history.until(2000, purges(&shop, 500, 7, 1000)).await?;
    for record in batch.iter().filter(|record| record.expires > later(500)) {
        shop.has(record, later(500), 10).await?;
    }
    history.agrees(&shop).await?;
    history.until(0, purges(&shop, 1000, 100, 2000)).await?;
    history.agrees(&shop).await?;
    Ok(Kept::Shown)
}

/// Purges to the end in steps of `limit`, of `expired` records at most.
async fn purges(shop: &Shop, seconds: u32, limit: u32, expired: u64) -> Result<(), Broken> {
    let removed = shop.purge(later(seconds), limit).await?;
    ensure!(removed <= expired, "{removed} records were removed of the {expired} that had expired");
    Ok(())
}

pub(super) async fn s10_a_hot_key_is_purged_in_steps(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    let mut history = History::new();
    let batch: Vec<_> = (0..1000)
        .map(|number| ProviderRecord { expires: later(500 + 500 * (number % 2) as u32), ..record(1, number) })
        .collect();
    history.until(1000, shop.insert(&batch, NOW)).await?;
    history.until(500, purges(&shop, 500, 9, 500)).await?;
    ensure_eq!(shop.providers_of(key(1), later(500), 2000).await?.len(), 500, "the living");
    history.agrees(&shop).await?;
    Ok(Kept::Shown)
}

pub(super) async fn s11_the_estimate_is_near_the_truth(lab: Arc<Lab<Store>>) -> Outcome {
    let mut history = History::new();
    let shop = Shop::open(&lab).await?;
    history.agrees(&shop).await?;
    // 3,000 keys of one provider, a key of 1,000 providers, and all of it again.
    let mut batch: Vec<_> = (0..3000).map(|number| record(number, 1)).collect();
    batch.extend((0..1000).map(|number| record(9000, number)));
    for seconds in [0, 60] {
        for record in &mut batch {
            record.expires = later(seconds).saturating_add(LIFE);
        }
        history.until(4000, shop.insert(&batch, later(seconds))).await?;
    }
    history.agrees(&shop).await?;
    if let Durability::SurvivesRestart { .. } = shop.0.profile().durability {
        shop.0.close().await?;
        drop(shop);
        history.agrees(&Shop::open(&lab).await?).await?;
    }
    Ok(Kept::Shown)
}

/// How many records a store has held since its place was made, to compare estimates of any age with.
struct History {
    /// The least and the most records from a moment on.
    known: Vec<(Instant, RangeInclusive<u64>)>,
}

impl History {
    /// It begins with an empty store.
    fn new() -> Self {
        Self { known: vec![(Instant::now(), 0..=0)] }
    }

    /// Runs what brings the records from the last number to `records`.
    async fn until(
        &mut self,
        records: u64,
        change: impl Future<Output = Result<(), Broken>>,
    ) -> Result<(), Broken> {
        let before = self.known.last().map_or(0, |(_, known)| *known.end());
        self.known.push((Instant::now(), before.min(records)..=before.max(records)));
        change.await?;
        self.known.push((Instant::now(), records..=records));
        Ok(())
    }

    /// The least and the most records at some moment of the last `age`, told in whole seconds perhaps, at its beginning.
    fn at(&self, age: Duration) -> Option<RangeInclusive<u64>> {
        const PRECISION: Duration = Duration::from_secs(1);
        let (first, _) = self.known.first()?;
        if age > first.elapsed() + PRECISION {
            return None;
        }
        let ended = |next: Option<&(Instant, _)>| next.map(|(moment, _): &(Instant, _)| moment.elapsed());
        let mut held: Option<RangeInclusive<u64>> = None;
        for (place, (begun, known)) in self.known.iter().enumerate() {
            let oldest = begun.elapsed() + PRECISION;
            let newest = ended(self.known.get(place + 1)).unwrap_or_default().saturating_sub(PRECISION);
            if (newest..=oldest).contains(&age) {
                let (least, most) = held.map_or((u64::MAX, 0), RangeInclusive::into_inner);
                held = Some(least.min(*known.start())..=most.max(*known.end()));
            }
        }
        held
    }

    /// Demands an estimate near the number of records, or near that of the moment of which it tells. Statistics of a
    /// database are renewed only now and then: they have some time for it, and may then still be older.
    async fn agrees(&self, shop: &Shop) -> Result<(), Broken> {
        const REST_MAX: Duration = Duration::from_secs(30);
        let records = self.known.last().map_or(0, |(_, known)| *known.end());
        let changed = Instant::now();
        loop {
            let estimate = shop.0.estimate().await?;
            if near(&(records..=records), estimate.records) {
                return Ok(());
            }
            let waited = changed.elapsed();
            let told = self.at(estimate.age).filter(|held| near(held, estimate.records));
            ensure!(
                told.is_some() && estimate.age >= waited && estimate.method != EstimateMethod::Counted,
                "there are {records} records, and the store says {estimate:?}"
            );
            if waited > REST_MAX {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Within 20 %.
fn near(held: &RangeInclusive<u64>, records: u64) -> bool {
    (held.start() - held.start() / 5..=held.end() + held.end() / 5).contains(&records)
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
    let deletes = supports(shop.0.delete(Deletion::Key(key(9)), NonZeroU32::MIN).await)?;
    let scans = supports(shop.0.scan(None, NOW, NonZeroU32::MIN).await)?;
    shop.insert(&[record(1, 1)], NOW).await?;
    shop.0.close().await?;
    unavailable("insert", shop.0.insert(batch(&[record(1, 2)]), NOW).await)?;
    unavailable("providers", shop.0.providers(Arc::from([key(1)]), NOW, NonZeroU32::MIN).await)?;
    unavailable("purge_expired", shop.0.purge_expired(NOW, NonZeroU32::MIN).await)?;
    unavailable("estimate", shop.0.estimate().await)?;
    if deletes {
        unavailable("delete", shop.0.delete(Deletion::Key(key(1)), NonZeroU32::MIN).await)?;
    }
    if scans {
        unavailable("scan", shop.0.scan(None, NOW, NonZeroU32::MIN).await)?;
    }
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

//! Cases on the figures that a store publishes: S24.

use super::later;
use super::shop::Shop;
use crate::check::{Broken, Kept, Outcome, ensure};
use crate::given::{NOW, key, record};
use crate::place::Lab;
use hydra_api::metrics::{Refused, well_formed};
use hydra_api::{Figure, Metric, ProviderStore, Store};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const NO_FIGURES: Kept = Kept::NotApplicable("the store publishes no figures");

/// The counters of a store, and the counts of its histograms.
type Counts = BTreeMap<String, Vec<u64>>;

pub(super) async fn s24_figures_are_well_formed_and_counters_rise(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = Shop::open(&lab).await?;
    let mut before = counts(&*shop.0, &Counts::new())?;
    let records: Vec<_> = (0..300).map(|number| record(number, number % 7)).collect();
    for round in 0..3u64 {
        shop.insert(&records, later(60 * round as u32)).await?;
        before = counts(&*shop.0, &before)?;
        shop.providers_of(key(round), NOW, 10).await?;
        before = counts(&*shop.0, &before)?;
        shop.0.estimate().await?;
        before = counts(&*shop.0, &before)?;
    }
    shop.0.close().await?;
    counts(&*shop.0, &Counts::new())?;
    Ok(if before.is_empty() { NO_FIGURES } else { Kept::Shown })
}

/// What is counted now; no less than before.
fn counts(store: &dyn ProviderStore, before: &Counts) -> Result<Counts, Broken> {
    let (taken, refused) = well_formed(store.metrics());
    if let Some(Refused { metric, because, .. }) = refused.first() {
        return Err(Broken::new(format!("{because}: {metric:?}")));
    }
    let now: Counts =
        taken.iter().filter_map(|metric| Some((name(metric), counted(&metric.figure)?))).collect();
    for (name, before) in before {
        let Some(now) = now.get(name) else { return Err(Broken::new(format!("{name} has gone away"))) };
        let has_fallen = before.iter().zip(now).any(|(before, now)| now < before);
        ensure!(!has_fallen, "{name} has fallen from {before:?} to {now:?}");
    }
    Ok(now)
}

fn name(metric: &Metric) -> String {
    let mut labels = metric.labels.clone();
    labels.sort_unstable();
    format!("{} {labels:?}", metric.name)
}

fn counted(figure: &Figure) -> Option<Vec<u64>> {
    match figure {
        Figure::Counter(count) => Some(vec![*count]),
        Figure::Histogram(buckets) => Some(buckets.counts.clone()),
        _ => None,
    }
}

pub(super) async fn s24_figures_wait_for_nothing(lab: Arc<Lab<Store>>) -> Outcome {
    // However busy the machine is, it does not hold up more than a few of many calls.
    const LONG: Duration = Duration::from_millis(20);
    const CALLS: u32 = 50;
    const LATE_MAX: u32 = 5;
    let shop = Arc::new(Shop::open(&lab).await?);
    if shop.0.metrics().is_empty() {
        return Ok(NO_FIGURES);
    }
    let ends = Arc::new(AtomicBool::new(false));
    let writes = {
        let (shop, ends) = (Arc::clone(&shop), Arc::clone(&ends));
        tokio::spawn(async move {
            let records: Vec<_> = (0..500).map(|number| record(number, number)).collect();
            while !ends.load(Ordering::Acquire) {
                shop.insert(&records, NOW).await?;
            }
            Ok::<_, Broken>(())
        })
    };
    let mut late = 0;
    for _ in 0..CALLS {
        let begun = Instant::now();
        drop(shop.0.metrics());
        late += u32::from(begun.elapsed() >= LONG);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    ends.store(true, Ordering::Release);
    writes.await.map_err(|error| Broken::new(format!("an insert beside it: {error}")))??;
    ensure!(late <= LATE_MAX, "{late} of {CALLS} calls took {LONG:?} or more");
    Ok(Kept::Shown)
}

//! Cases on calls that are dropped or made at once: S14, S16.

use super::shop::{Shop, all_taken};
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::{self, Chance, NOW, key, peer, record};
use crate::place::Lab;
use futures::FutureExt;
use hydra_api::{ProviderRecord, Store, StoreErrorKind};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub(super) async fn s14_dropped_inserts_leave_the_store_in_order(lab: Arc<Lab<Store>>) -> Outcome {
    const ROUNDS: u64 = 200;
    const BATCH: u64 = 40;
    let shop = Shop::open(&lab).await?;
    let mut chance = Chance::of(14);
    let batch = |round: u64| -> Vec<ProviderRecord> {
        (0..BATCH).map(|number| record(round * BATCH + number, number)).collect()
    };
    for round in 0..ROUNDS {
        let batch = batch(round);
        let keys: Vec<_> = batch.iter().map(|record| record.key).collect();
        let mut insert = shop.0.insert(batch.into(), NOW);
        let mut read = shop.0.providers(keys.into(), NOW, std::num::NonZeroU32::MIN);
        // Polled a few times, then dropped wherever they stand.
        for _ in 0..chance.below(4) {
            let done = insert.poll_unpin(&mut Context::from_waker(Waker::noop())).is_ready();
            let read_done = read.poll_unpin(&mut Context::from_waker(Waker::noop())).is_ready();
            if done || read_done {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    for round in 0..ROUNDS {
        let batch = batch(round);
        let keys: Vec<_> = batch.iter().map(|record| record.key).collect();
        for (record, entry) in batch.iter().zip(shop.providers(&keys, NOW, 10).await?) {
            let found: Vec<_> = entry.iter().map(|one| (one.peer, one.expires, &one.addresses)).collect();
            let whole = [(record.provider, record.expires, &record.addresses)];
            ensure!(found.is_empty() || found == whole, "a record is neither stored nor not: {found:?}");
        }
        insert_when_there_is_room(&shop, &batch).await?;
        for record in &batch {
            shop.has(record, NOW, 10).await?;
        }
    }
    let estimate = shop.0.estimate().await?.records;
    let truth = ROUNDS * BATCH;
    ensure!(estimate.abs_diff(truth) <= truth / 5, "the store counts {estimate} of {truth} records");
    Ok(Kept::Shown)
}

/// The store may be busy for a while with what was dropped.
async fn insert_when_there_is_room(shop: &Shop, batch: &[ProviderRecord]) -> Result<(), Broken> {
    const TRIES: u32 = 2000;
    for _ in 0..TRIES {
        match shop.0.insert(given::batch(batch), NOW).await {
            Err(error) if error.kind() == StoreErrorKind::Overloaded => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            other => {
                return all_taken(&other?, batch.len());
            }
        }
    }
    Err(Broken::new("the store never came to rest after inserts were dropped"))
}

pub(super) async fn s16_inserts_of_many_tasks_are_all_there(lab: Arc<Lab<Store>>) -> Outcome {
    const TASKS: u64 = 16;
    const KEYS: u64 = 50;
    let shop = Shop::open(&lab).await?;
    // The node makes no more calls at a time than the store says.
    let gate = Arc::new(Semaphore::new(shop.0.profile().concurrency_max.get().min(TASKS as usize)));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (shop, gate) = (shop.clone(), Arc::clone(&gate));
        tasks.spawn(async move {
            // Every task is a provider of the same keys, and announces a provider that is common to all.
            for number in 0..KEYS {
                let permit = gate.acquire().await.map_err(|_| Broken::new("the gate is closed"))?;
                shop.insert(&[record(number, task), record(number, 1000)], NOW).await?;
                shop.providers_of(key(number), NOW, 100).await?;
                drop(permit);
            }
            Ok::<_, Broken>(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.map_err(|cause| Broken::new(format!("a task ended: {cause}")))??;
    }
    let expected: BTreeSet<_> = (0..TASKS).chain([1000]).map(peer).collect();
    for number in 0..KEYS {
        let found: BTreeSet<_> =
            shop.providers_of(key(number), NOW, 100).await?.into_iter().map(|one| one.peer).collect();
        ensure_eq!(found, expected, "the providers of key {number}");
    }
    Ok(Kept::Shown)
}

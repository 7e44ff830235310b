//! A case of R5 that looks at what many puts have replaced, while records expire, are purged and deleted.

use super::shop::{Shop, key, later, open, put};
use crate::check::{Broken, Kept, Outcome, ensure};
use crate::given::Chance;
use crate::place::Lab;
use bytes::Bytes;
use hydra_api::value::BATCH_LEN_MAX;
use hydra_api::{FoundValue, PutOutcome, Sharing, Store, StoreErrorKind, UnixSeconds, ValuePut, ValueRecord};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::task::JoinSet;

const KEYS: u64 = 6;
const ROUNDS: u64 = 60;
const RIVALS_MAX: usize = 8;

/// What a put has replaced: the number of its key, and the value that was seen.
type Replaced = (u64, Bytes);

/// Each value is put once, so that each is replaced once at most. The rivals' clocks differ from that of the purge.
pub(super) async fn r5_a_record_is_replaced_once(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = open!(&lab);
    let rivals = shop.0.profile().writes.concurrency_max.get().min(RIVALS_MAX);
    let mut shops = vec![shop];
    while shops.len() < 3 && shops[0].0.profile().sharing == Sharing::BetweenProcesses {
        shops.push(open!(&lab));
    }
    let (clock, is_over) = (Arc::new(AtomicU32::new(1)), Arc::new(AtomicBool::new(false)));
    let upkeep = tokio::spawn(upkeep(shops[0].clone(), Arc::clone(&clock), Arc::clone(&is_over)));
    let mut tasks = JoinSet::new();
    for rival in 0..rivals.max(2) {
        tasks.spawn(replace(shops[rival % shops.len()].clone(), rival as u64, Arc::clone(&clock)));
    }
    let ended = |cause| Broken::new(format!("a task ended: {cause}"));
    let mut replaced: HashMap<Replaced, Bytes> = HashMap::new();
    while let Some(task) = tasks.join_next().await {
        for (seen, value) in task.map_err(ended)?? {
            let other = replaced.insert(seen, value);
            ensure!(other.is_none(), "two puts that have seen the same record are stored");
        }
    }
    is_over.store(true, Ordering::Relaxed);
    upkeep.await.map_err(ended)??;
    ensure!(!replaced.is_empty(), "no record was replaced");
    Ok(Kept::Shown)
}

/// Replaces what it sees; what it has replaced, and by what.
async fn replace(shop: Shop, rival: u64, clock: Arc<AtomicU32>) -> Result<Vec<(Replaced, Bytes)>, Broken> {
    let (mut replaced, mut chance) = (Vec::new(), Chance::of(rival));
    for round in 0..ROUNDS {
        let now = later(clock.load(Ordering::Relaxed) - (rival % 2) as u32);
        let keys: Vec<_> = (0..KEYS).map(key).collect();
        let found = match shop.values()?.get(keys.into(), now).await {
            Err(error) if error.kind() == StoreErrorKind::Overloaded => continue,
            found => found?,
        };
        let puts: Vec<_> = (0..KEYS)
            .zip(found)
            .map(|(number, found)| {
                let unique = (rival * ROUNDS + round) * KEYS + number;
                let put = put(number, unique);
                let expires = UnixSeconds(now.0 + 1 + chance.below(8) as u32);
                let seen = match found {
                    FoundValue::Known(record) => record.map(|record| record.value),
                    FoundValue::Unknown(_) => None,
                };
                ValuePut { seen, record: ValueRecord { received: now, expires, ..put.record }, ..put }
            })
            .collect();
        let outcomes = match shop.values()?.put_if((&puts[..]).into(), now).await {
            Err(error) if error.kind() == StoreErrorKind::Overloaded => continue,
            outcomes => outcomes?,
        };
        let stored = (0..KEYS).zip(puts).zip(outcomes).filter(|(_, one)| *one == PutOutcome::Stored);
        replaced.extend(stored.filter_map(|((key, put), _)| Some(((key, put.seen?), put.record.value))));
    }
    Ok(replaced)
}

/// Lets time pass, and removes what has expired, and now and then what has not.
async fn upkeep(shop: Shop, clock: Arc<AtomicU32>, is_over: Arc<AtomicBool>) -> Result<(), Broken> {
    let mut chance = Chance::of(5);
    while !is_over.load(Ordering::Relaxed) {
        let passed = u32::from(chance.below(5) == 0);
        let now = later(clock.fetch_add(passed, Ordering::Relaxed) + passed);
        let limit = NonZeroU32::MIN.saturating_add(BATCH_LEN_MAX as u32);
        let purged = shop.values()?.purge_values(now, limit).await.map(drop);
        let deleted = match chance.below(3) {
            0 => shop.values()?.delete_values(Arc::from([key(chance.below(KEYS))])).await.map(drop),
            _ => Ok(()),
        };
        for ended in [purged, deleted] {
            match ended {
                Err(error) if error.kind() == StoreErrorKind::Overloaded => {}
                ended => ended?,
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    Ok(())
}

//! Cases on what a put does: R1, R5 to R7, R9, R13, and random calls.

use super::shop::{Shop, after, key, key_of, later, open, put, value};
use crate::check::{Broken, Kept, Outcome, ensure, ensure_eq};
use crate::given::{Chance, NOW};
use crate::place::Lab;
use futures::FutureExt;
use hydra_api::value::BATCH_LEN_MAX;
use hydra_api::{
    Durability, PutOutcome, Sharing, Store, StoreErrorKind, UnixSeconds, ValueKey, ValuePut, ValueRecord,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::task::JoinSet;

pub(super) async fn r1_a_put_needs_what_was_seen(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = open!(&lab);
    shop.store(&[put(1, 1)], NOW).await?;
    let changed = [PutOutcome::Changed];
    ensure_eq!(
        shop.put(&[put(1, 2)], NOW).await?,
        changed,
        "a put that has seen nothing of a key that has a record"
    );
    ensure_eq!(shop.put(&[after(2, put(1, 3))], NOW).await?, changed, "a put that has seen another value");
    ensure_eq!(
        shop.put(&[after(2, put(2, 3))], NOW).await?,
        changed,
        "a put that has seen a value of an absent key"
    );
    let cut = ValuePut { seen: Some(value(1).slice(..100)), ..put(1, 3) };
    ensure_eq!(shop.put(&[cut], NOW).await?, changed, "a put that has seen the beginning of the value");
    shop.has(&[put(1, 1)], NOW).await?;
    ensure_eq!(shop.of(key(2), NOW).await?, None, "what an absent key has");
    shop.store(&[after(1, put(1, 4))], NOW).await?;
    shop.has(&[put(1, 4)], NOW).await?;
    // The same value again, received later: it lives longer.
    let mut again = after(4, put(1, 4));
    (again.record.received, again.record.expires) = (later(10), later(500_000));
    shop.store(std::slice::from_ref(&again), later(10)).await?;
    shop.has(&[again], later(10)).await?;
    Ok(Kept::Shown)
}

pub(super) async fn r5_of_many_puts_one_is_stored(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = open!(&lab);
    let rivals = shop.0.profile().writes.concurrency_max.get().min(16) as u64;
    race(&vec![shop; rivals as usize]).await
}

pub(super) async fn r5_of_puts_of_many_processes_one_is_stored(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = open!(&lab);
    if shop.0.profile().sharing == Sharing::OneProcess {
        return Ok(Kept::NotApplicable("the store belongs to one process"));
    }
    let mut shops = vec![shop];
    while shops.len() < 4 {
        shops.push(open!(&lab));
    }
    race(&shops).await
}

/// Each of these puts values of its own to keys that are common to all, seeing what the round before has left.
async fn race(shops: &[Shop]) -> Outcome {
    const ROUNDS: u64 = 30;
    const KEYS: u64 = 8;
    let mut winners = vec![None::<u64>; KEYS as usize];
    for round in 0..ROUNDS {
        let mut tasks = JoinSet::new();
        for (rival, shop) in shops.iter().cloned().enumerate() {
            let number = round * 1000 + rival as u64;
            let puts = (0..KEYS).zip(&winners).map(|(key, winner)| match winner {
                Some(winner) => after(*winner, put(key, number * KEYS + key)),
                None => put(key, number * KEYS + key),
            });
            // Keys in another order for each, so that they could wait for each other.
            let mut puts: Vec<_> = puts.collect();
            puts.rotate_left(rival % KEYS as usize);
            tasks.spawn(async move { Ok::<_, Broken>((number, shop.put(&puts, NOW).await?, puts)) });
        }
        let mut stored: BTreeMap<ValueKey, Vec<u64>> = BTreeMap::new();
        while let Some(task) = tasks.join_next().await {
            let (number, outcomes, puts) =
                task.map_err(|cause| Broken::new(format!("a task ended: {cause}")))??;
            for (put, outcome) in puts.iter().zip(outcomes) {
                match outcome {
                    PutOutcome::Stored => stored.entry(put.key).or_default().push(number),
                    PutOutcome::Changed => {}
                    other => return Err(Broken::new(format!("a put is {other:?}"))),
                }
            }
        }
        for (key_number, winner) in (0..KEYS).zip(&mut winners) {
            let of_key = stored.get(&key(key_number)).map_or(&[][..], Vec::as_slice);
            ensure!(of_key.len() == 1, "{} puts that have seen the same are stored", of_key.len());
            let number = of_key[0] * KEYS + key_number;
            for shop in shops {
                let found = shop.of(key(key_number), NOW).await?.map(|record| record.value);
                ensure_eq!(found, Some(value(number)), "the value of the put that is stored");
            }
            *winner = Some(number);
        }
    }
    Ok(Kept::Shown)
}

pub(super) async fn r6_a_batch_may_name_a_key_twice(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = open!(&lab);
    let batch =
        [put(1, 1), put(2, 5), after(1, put(1, 2)), put(1, 3), after(9, put(2, 6)), after(2, put(1, 4))];
    let outcomes = shop.put(&batch, NOW).await?;
    let [stored, changed] = [PutOutcome::Stored, PutOutcome::Changed];
    let expected =
        [stored.clone(), stored.clone(), stored.clone(), changed.clone(), changed.clone(), stored.clone()];
    ensure_eq!(outcomes, expected, "the outcomes");
    shop.has(&[put(1, 4), put(2, 5)], NOW).await?;
    Ok(Kept::Shown)
}

pub(super) async fn r7_the_largest_batch_is_accepted_whole(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = open!(&lab);
    let mut chance = Chance::of(7);
    let puts: Vec<_> = (0..BATCH_LEN_MAX)
        .map(|_| {
            let (mut key, mut value) = (vec![0; ValueKey::LEN_MAX], vec![0; ValueRecord::LEN_MAX]);
            chance.fill(&mut key);
            chance.fill(&mut value);
            let record = ValueRecord { value: value.into(), received: NOW, expires: later(1000) };
            ValuePut { key: key_of(&key), seen: None, record }
        })
        .collect();
    shop.store(&puts, NOW).await?;
    shop.has(&puts, NOW).await?;
    let again: Vec<_> =
        puts.iter().map(|put| ValuePut { seen: Some(put.record.value.clone()), ..put.clone() }).collect();
    shop.store(&again, NOW).await?;
    ensure!(shop.values()?.put_if(Arc::from([]), NOW).await?.is_empty(), "an empty batch has an outcome");
    Ok(Kept::Shown)
}

pub(super) async fn r9_dropped_puts_leave_the_store_in_order(lab: Arc<Lab<Store>>) -> Outcome {
    const ROUNDS: u64 = 100;
    const BATCH: u64 = 20;
    let shop = open!(&lab);
    let mut chance = Chance::of(9);
    let batch = |round: u64| -> Vec<_> {
        (0..BATCH).map(|number| put(round * BATCH + number, round * BATCH + number)).collect()
    };
    for round in 0..ROUNDS {
        let values = shop.values()?;
        let mut putting = values.put_if(batch(round).into(), NOW).fuse();
        let mut reading = values.get(batch(round).iter().map(|put| put.key).collect(), NOW).fuse();
        // Polled a few times, then dropped wherever they stand.
        for _ in 0..chance.below(4) {
            drop(putting.poll_unpin(&mut Context::from_waker(Waker::noop())));
            drop(reading.poll_unpin(&mut Context::from_waker(Waker::noop())));
            tokio::task::yield_now().await;
        }
    }
    for round in 0..ROUNDS {
        let mut batch = batch(round);
        settles(&shop, &mut batch).await?;
        shop.has(&batch, NOW).await?;
    }
    Ok(Kept::Shown)
}

/// Puts what was dropped once more, seeing what the store has of it. A put that was dropped may still be under way.
async fn settles(shop: &Shop, batch: &mut [ValuePut]) -> Result<(), Broken> {
    const TRIES: u32 = 1000;
    for _ in 0..TRIES {
        let keys: Vec<_> = batch.iter().map(|put| put.key).collect();
        for (put, found) in batch.iter_mut().zip(shop.get(&keys, NOW).await?) {
            let whole = found.as_ref().is_none_or(|record| *record == put.record);
            ensure!(whole, "a record is neither stored nor not: {found:?}");
            put.seen = found.map(|record| record.value);
        }
        match shop.values()?.put_if((&*batch).into(), NOW).await {
            Err(error) if error.kind() == StoreErrorKind::Overloaded => {}
            outcomes => {
                let outcomes = outcomes?;
                ensure!(outcomes.len() == batch.len(), "{} outcomes", outcomes.len());
                if outcomes.iter().all(|one| *one == PutOutcome::Stored) {
                    return Ok(());
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(Broken::new("the store never came to rest after puts were dropped"))
}

pub(super) async fn r13_each_put_has_its_outcome(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = open!(&lab);
    for round in 0..10 {
        // Each second key of a batch has a record from the batch before, which was not seen.
        let batch: Vec<_> = (0..60).map(|number| put(round * 30 + number, round * 100 + number)).collect();
        let before = shop.get(&batch.iter().map(|put| put.key).collect::<Vec<_>>(), NOW).await?;
        let outcomes = shop.put(&batch, NOW).await?;
        for ((put, outcome), before) in batch.iter().zip(outcomes).zip(before) {
            let expected = if before.is_some() { PutOutcome::Changed } else { PutOutcome::Stored };
            ensure_eq!(outcome, expected, "the outcome of a put");
            let found = shop.of(put.key, NOW).await?;
            ensure_eq!(found, before.or(Some(put.record.clone())), "what the next call reads");
        }
    }
    Ok(Kept::Shown)
}

pub(super) async fn r13_what_has_no_room_changes_nothing(lab: Arc<Lab<Store>>) -> Outcome {
    const REFUSED_MAX: usize = 300;
    let shop = open!(&lab);
    let Some(records_max) = lab.place.full_within else {
        return Ok(Kept::NotApplicable("the place does not say when the store is full: Place::full_within"));
    };
    let (mut refused, mut records) = (0, 0);
    for first in (0..u64::from(records_max) + 1000).step_by(100) {
        let batch: Vec<_> = (first..first + 100).map(|number| put(number, number)).collect();
        let outcomes = shop.put(&batch, NOW).await?;
        let found = shop.get(&batch.iter().map(|put| put.key).collect::<Vec<_>>(), NOW).await?;
        for ((put, outcome), found) in batch.iter().zip(outcomes).zip(found) {
            let expected = match outcome {
                PutOutcome::Stored => Some(put.record.clone()),
                PutOutcome::NoRoom => None,
                other => return Err(Broken::new(format!("a put of a new key is {other:?}"))),
            };
            ensure_eq!(found, expected, "what the next call reads of a put that is {outcome:?}");
            refused += usize::from(expected.is_none());
            records += u64::from(expected.is_some());
        }
        if refused > REFUSED_MAX {
            break;
        }
    }
    ensure!(refused > 0, "all of {records} records found room");
    // What is there can be replaced by what is no longer, or stays as it is.
    for number in 0..records.min(20) {
        let mut again = after(number, put(number, number));
        again.record.expires = later(500_000);
        let expected = match shop.put(std::slice::from_ref(&again), NOW).await?[..] {
            [PutOutcome::Stored] => again,
            [PutOutcome::NoRoom] => put(number, number),
            ref other => return Err(Broken::new(format!("a put that has seen the value is {other:?}"))),
        };
        shop.has(&[expected], NOW).await?;
    }
    Ok(Kept::Shown)
}

pub(super) async fn r1_r2_r3_r4_r6_r8_r10_r14_random_calls_agree_with_a_model(
    lab: Arc<Lab<Store>>,
) -> Outcome {
    let seed = Chance::seed();
    let outcome = walk(&lab, seed).await;
    outcome.map_err(|how| Broken::new(format!("{how} (to run it again: TEST_SEED={seed})")))
}

type Model = BTreeMap<u64, ValueRecord>;

async fn walk(lab: &Lab<Store>, seed: u64) -> Outcome {
    const STEPS: u32 = 400;
    const KEYS: u64 = 12;
    let mut chance = Chance::of(seed);
    let mut shop = open!(lab);
    let (mut model, mut now) = (Model::new(), NOW);
    for _ in 0..STEPS {
        match chance.below(20) {
            0..10 => random_puts(&shop, &mut model, &mut chance, now).await?,
            10..15 => {}
            15 => now = UnixSeconds(now.0 + chance.below(300) as u32),
            16 => {
                let removed = shop.purge(now, 1 + chance.below(5) as u32).await?;
                let expired = model.len();
                model.retain(|_, record| record.expires > now);
                ensure!(removed <= (expired - model.len()) as u64, "{removed} records were purged");
            }
            17 => {
                let number = chance.below(KEYS);
                shop.values()?.delete_values(Arc::from([key(number)])).await?;
                model.remove(&number);
            }
            _ => {
                if let Durability::SurvivesRestart { .. } = shop.0.profile().durability {
                    shop.0.close().await?;
                    drop(shop);
                    shop = open!(lab);
                }
            }
        }
        let found = shop.get(&(0..KEYS).map(key).collect::<Vec<_>>(), now).await?;
        for (number, found) in (0..KEYS).zip(found) {
            let live = model.get(&number).filter(|record| record.expires > now);
            ensure_eq!(found.as_ref(), live, "the record of key {number}");
        }
    }
    Ok(Kept::Shown)
}

async fn random_puts(
    shop: &Shop,
    model: &mut Model,
    chance: &mut Chance,
    now: UnixSeconds,
) -> Result<(), Broken> {
    let (mut puts, mut expected) = (Vec::new(), Vec::new());
    for _ in 0..1 + chance.below(20) {
        let number = chance.below(12);
        let live =
            model.get(&number).filter(|record| record.expires > now).map(|record| record.value.clone());
        let seen = match chance.below(4) {
            0 => None,
            1 => Some(value(chance.below(30))),
            _ => live.clone(),
        };
        let record = ValueRecord {
            value: value(chance.below(30)),
            received: now,
            expires: UnixSeconds(now.0 + 1 + chance.below(1000) as u32),
        };
        expected.push(if seen == live { PutOutcome::Stored } else { PutOutcome::Changed });
        if seen == live {
            model.insert(number, record.clone());
        }
        puts.push(ValuePut { key: key(number), seen, record });
    }
    ensure_eq!(shop.put(&puts, now).await?, expected, "the outcomes");
    Ok(())
}

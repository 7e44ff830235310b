//! Cases on what a read returns: R2 to R4, R11.

use super::shop::{Shop, after, key, key_of, later, open, put, value};
use crate::check::{Kept, Outcome, ensure, ensure_eq};
use crate::given::{Chance, NOW, content_key, record};
use crate::place::Lab;
use hydra_api::{Deletion, Expiry, ProviderRecord, PutOutcome, Store, ValuePut, ValueRecord};
use std::num::NonZeroU32;
use std::sync::Arc;

pub(super) async fn r2_each_key_gets_its_entry_in_order(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = open!(&lab);
    let puts: Vec<_> = (0..5).map(|number| put(number, number)).collect();
    shop.store(&puts, NOW).await?;
    // Out of order, repeated, and one that is absent.
    let asked = [3, 1, 99, 4, 1, 0, 2, 99, 3];
    let found = shop.get(&asked.map(key), NOW).await?;
    for (number, found) in asked.into_iter().zip(found) {
        let expected = (number != 99).then(|| value(number));
        ensure_eq!(found.map(|record| record.value), expected, "the entry of key {number}");
    }
    ensure!(shop.get(&[], NOW).await?.is_empty(), "there is an entry for no key");
    Ok(Kept::Shown)
}

pub(super) async fn r3_what_has_expired_is_nothing(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = open!(&lab);
    let until = |put: ValuePut, expires| {
        let record = ValueRecord { expires, ..put.record };
        ValuePut { record, ..put }
    };
    shop.store(&[until(put(1, 1), later(100)), put(2, 2)], NOW).await?;
    ensure!(shop.of(key(1), later(99)).await?.is_some(), "a live record is missing");
    ensure_eq!(shop.of(key(1), later(100)).await?, None, "what a key has whose record expires now");
    // It was not seen any more, so nothing was.
    let again = until(put(1, 3), later(300));
    ensure_eq!(
        shop.put(&[after(1, again.clone())], later(100)).await?,
        [PutOutcome::Changed],
        "a put that has seen what has expired"
    );
    shop.store(std::slice::from_ref(&again), later(100)).await?;
    shop.has(&[again, put(2, 2)], later(100)).await?;
    // One that has expired when it is put is never read.
    shop.put(&[until(put(4, 4), later(50))], later(60)).await?;
    ensure_eq!(shop.of(key(4), later(60)).await?, None, "what had expired when it was put");
    Ok(Kept::Shown)
}

pub(super) async fn r4_bytes_come_back_as_they_were(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = open!(&lab);
    let mut chance = Chance::of(4);
    // Keys that are prefixes of each other, keys of zeros, of the highest byte and of anything; values of all lengths.
    let mut keys: Vec<_> = (1..=80).map(|len| vec![b'/'; len]).collect();
    keys.extend((1..=80).step_by(7).flat_map(|len| [vec![0; len], vec![255; len]]));
    keys.extend((1..=80).map(|len| {
        let mut bytes = vec![0; len];
        chance.fill(&mut bytes);
        // Not one of the others.
        bytes[0] = 1 + (bytes[0] % 40);
        bytes
    }));
    let mut bytes: Vec<_> = keys.iter().map(|key| key_of(key)).collect();
    bytes.sort_unstable();
    bytes.dedup();
    let lens = [1, 2, 3, 255, 256, 1000, 4095, 8191, ValueRecord::LEN_MAX];
    let puts: Vec<_> = bytes
        .into_iter()
        .enumerate()
        .map(|(place, key)| {
            let mut value = vec![0; lens[place % lens.len()]];
            chance.fill(&mut value);
            let (received, expires) = (later(place as u32), later(100_000 + place as u32));
            let record = ValueRecord { value: value.into(), received, expires };
            ValuePut { key, seen: None, record }
        })
        .collect();
    shop.store(&puts, NOW).await?;
    shop.has(&puts, NOW).await?;
    Ok(Kept::Shown)
}

pub(super) async fn r11_values_and_providers_are_apart(lab: Arc<Lab<Store>>) -> Outcome {
    let shop = open!(&lab);
    // They outlive the records of providers.
    let long = |put: ValuePut| {
        let record = ValueRecord { expires: later(1_000_000), ..put.record };
        ValuePut { record, ..put }
    };
    let of_providers =
        |number, put: ValuePut| ValuePut { key: key_of(crate::given::key(number).as_bytes()), ..put };
    let puts: Vec<_> = (0..50).map(|number| of_providers(number, long(put(number, number)))).collect();
    // Records under the very bytes of these keys.
    let of = |put: &ValuePut| ProviderRecord { key: content_key(put.key.as_bytes()), ..record(1, 1) };
    let records: Arc<[_]> = puts.iter().map(of).collect();
    let insert = async |shop: &Shop| {
        for record in records.iter() {
            let inserted = shop.0.insert(Arc::from([record.clone()]), NOW).await?;
            crate::store::all_taken(&inserted, 1)?;
        }
        Ok::<_, crate::Broken>(())
    };
    insert(&shop).await?;
    for put in &puts {
        ensure_eq!(shop.of(put.key, NOW).await?, None, "the value of a key that has providers alone");
    }
    shop.store(&puts, NOW).await?;
    let providers = async |shop: &Shop| {
        let mut found = 0;
        for record in records.iter() {
            let answer = shop.0.providers(Arc::from([record.key]), NOW, NonZeroU32::MIN).await?;
            found += crate::store::all_known(answer, 1)?.iter().map(Vec::len).sum::<usize>();
        }
        Ok::<_, crate::Broken>(found)
    };
    ensure_eq!(providers(&shop).await?, 50, "the providers of keys that have values as well");
    insert(&shop).await?;
    shop.has(&puts, NOW).await?;
    let (going, staying) = puts.split_at(25);
    ensure_eq!(
        shop.values()?.delete_values(going.iter().map(|put| put.key).collect()).await?,
        25,
        "the values deleted"
    );
    let short = ValueRecord { expires: later(100), ..put(99, 99).record };
    shop.store(&[ValuePut { record: short, ..put(99, 99) }], NOW).await?;
    if shop.0.profile().expiry == Expiry::ByPurge {
        for _ in 0..50 {
            shop.values()?.purge_values(later(100), NonZeroU32::MAX).await?;
        }
    }
    ensure_eq!(providers(&shop).await?, 50, "the providers of keys whose values were deleted and purged");
    // As far as the store deletes and purges.
    drop(shop.0.delete(Deletion::Key(records[49].key), NonZeroU32::MAX).await);
    if shop.0.profile().expiry == Expiry::ByPurge {
        for _ in 0..50 {
            shop.0.purge_expired(later(600_000), NonZeroU32::MAX).await?;
        }
    }
    shop.has(staying, later(600_000)).await?;
    Ok(Kept::Shown)
}

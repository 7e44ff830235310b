//! Writes go to all tiers or to the last; the last one decides on each record.

use crate::rig::{LIMIT, Tier, counting, memory, open, open_with};
use hydra_api::{Inserted, ProviderRecord, ProviderStore, RecordOutcome, StoreErrorKind, StoreProfile};
use hydra_conformance::doubles::{
    Asked, ClaimingStore, DropsSome, Miscount, Miscounts, Poison, RecordingStore, RefusesRecord, StoresHalf,
    UnknownForSome,
};
use hydra_conformance::given::{NOW, key, record};
use serde_json::json;
use std::sync::Arc;

fn records() -> Vec<ProviderRecord> {
    (0..100).map(|number| record(number, number % 7)).collect()
}

#[tokio::test]
async fn writes_go_to_all_tiers_or_to_the_last() {
    for (writes, of_upper) in [("all", 100), ("last", 0)] {
        let (upper, last) = (counting(), counting());
        let tiers = [Tier::of(upper.clone()), Tier::of(last.clone())];
        let shop = open_with(&tiers, json!({ "writes": writes })).await;
        shop.insert(&records(), NOW).await;
        assert_eq!((upper.counted().records, last.counted().records), (of_upper, 100));
    }
}

#[tokio::test]
async fn written_to_the_last_tier_alone_a_record_is_read_at_once() {
    let (upper, last) = (counting(), counting());
    let tiers = [Tier::of(upper.clone()), Tier::of(last.clone())];
    let shop = open_with(&tiers, json!({ "writes": "last" })).await;
    for number in 0..5 {
        assert_eq!(shop.count(1).await, number);
        shop.insert(&[record(1, number as u64)], NOW).await;
    }
    assert_eq!((shop.count(1).await, shop.count(1).await), (5, 5));
    assert_eq!(last.counted().reads, 6, "each write ends the answer of the upper tier");
}

#[tokio::test]
async fn s17_the_outcome_is_that_of_the_last_tier_and_no_other_tier_gets_what_it_did_not_take() {
    let dropping = Arc::new(DropsSome::new(memory(), 400, 3));
    let upper = Arc::new(RecordingStore::new(memory(), 10));
    let shop = open([upper.clone(), dropping.clone()]).await;
    let records = records();
    let outcomes = shop.outcomes(&records).await;
    let expected = records.iter().map(|record| match dropping.drops(record) {
        true => RecordOutcome::NoRoom,
        false => RecordOutcome::Taken,
    });
    assert_eq!(outcomes, expected.collect::<Vec<_>>());
    let asked = upper.asked();
    let [Asked::Insert(written)] = &asked[..] else { panic!("{asked:?}") };
    let taken: Vec<_> = records.iter().filter(|record| !dropping.drops(record)).cloned().collect();
    assert_eq!(written[..], taken);
}

#[tokio::test]
async fn an_upper_tier_that_does_not_take_all_costs_no_record() {
    let poison = (record(3, 3).key, record(3, 3).provider);
    let uppers: [Arc<dyn ProviderStore>; 7] = [
        Arc::new(StoresHalf::new(memory(), StoreErrorKind::Unavailable)),
        Arc::new(StoresHalf::new(memory(), StoreErrorKind::Overloaded)),
        Arc::new(DropsSome::new(memory(), 500, 1)),
        Arc::new(RefusesRecord::new(memory(), Poison::default(), [poison])),
        Arc::new(RefusesRecord::new(memory(), Poison::Panics, [poison])),
        Arc::new(Miscounts::new(memory(), Miscount::TooFewOutcomes)),
        Arc::new(UnknownForSome::new(memory(), StoreErrorKind::Unavailable, 500, 1)),
    ];
    for upper in uppers {
        let named = format!("{upper:?}");
        let shop = open([upper, memory()]).await;
        let keys: Vec<_> = (0..100).map(key).collect();
        // All are known to be absent.
        shop.try_read(&keys, NOW, LIMIT).await.unwrap();
        assert_eq!(shop.try_insert(&records(), NOW).await.unwrap(), Inserted::All, "{named}");
        for _ in 0..2 {
            let found = shop.try_read(&keys, NOW, LIMIT).await.unwrap();
            assert!(found.iter().all(|found| found.providers().len() == 1), "{named}");
        }
    }
}

#[tokio::test]
async fn a_batch_that_is_longer_than_an_upper_tier_takes_goes_there_in_parts() {
    let profile = StoreProfile::builder().write_batch_len_max(7.try_into().unwrap());
    let profile = profile.read_batch_len_max(3.try_into().unwrap()).build();
    let upper = Arc::new(ClaimingStore::new(memory(), profile));
    let shop = open([upper.clone(), memory()]).await;
    shop.insert(&records(), NOW).await;
    let keys: Vec<_> = (0..100).map(key).collect();
    for _ in 0..2 {
        let found = shop.try_read(&keys, NOW, LIMIT).await.unwrap();
        assert!(found.iter().all(|found| found.providers().len() == 1));
    }
    let counted = upper.counted();
    assert_eq!((counted.records_max, counted.keys_max), (7, 3));
}

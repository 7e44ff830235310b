//! A tier's failure degrades: an upper one costs little time, and without the last one what is complete is still answered.

use crate::rig::{LIMIT, Shop, Tier, counting, later, memory, open, open_with};
use hydra_api::{Found, StoreErrorKind};
use hydra_conformance::doubles::{
    Calls, CountingStore, DropsSome, FailingStore, FrozenStore, Miscount, Miscounts, PanicsSometimes,
    SlowStore, UnknownForSome,
};
use hydra_conformance::given::{NOW, key, record};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Keys 0 to 99 with a provider each, all complete in the upper tier.
async fn warm(shop: &Shop) {
    let records: Vec<_> = (0..100).map(|number| record(number, number % 7)).collect();
    shop.insert(&records, NOW).await;
    for _ in 0..2 {
        all_found(shop).await;
    }
}

async fn all_found(shop: &Shop) {
    let keys: Vec<_> = (0..100).map(key).collect();
    let found = shop.try_read(&keys, NOW, LIMIT).await.unwrap();
    assert_eq!(found.iter().filter(|found| found.providers().len() == 1).count(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_dead_upper_tier_does_not_cost_its_time_limit_each_time_and_is_used_again() {
    let frozen = Arc::new(FrozenStore::thawed(memory()));
    let last = counting();
    let shop = open([frozen.clone(), last.clone()]).await;
    warm(&shop).await;
    frozen.freeze_calls(Calls::All);
    let (begun, calls) = (Instant::now(), frozen.counted().statements);
    for _ in 0..1000 {
        all_found(&shop).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // 10 s of pauses; of the calls of the tier three in a row, then one in a pause.
    let (took, calls) = (begun.elapsed(), frozen.counted().statements - calls);
    assert!(took < Duration::from_millis(11_500), "{took:?}");
    assert!((8..=18).contains(&calls), "{calls} calls");

    frozen.thaw();
    tokio::time::sleep(Duration::from_secs(2)).await;
    all_found(&shop).await;
    let reads = last.counted().reads;
    all_found(&shop).await;
    assert_eq!(last.counted().reads, reads, "it is filled again");
}

#[tokio::test]
async fn an_upper_tier_that_fails_on_reads_costs_no_answer() {
    let failing = Arc::new(FailingStore::new(memory(), StoreErrorKind::Unavailable, 0, 1));
    failing.set_calls(Calls::Reads);
    let panicking = Arc::new(PanicsSometimes::new(memory(), 0, 1));
    let miscounting = Arc::new(Miscounts::new(memory(), Miscount::Nothing));
    let forgetting = Arc::new(UnknownForSome::new(memory(), StoreErrorKind::Unavailable, 0, 1));
    let shop = open([failing.clone(), panicking.clone(), miscounting.clone(), memory()]).await;
    let other = open([forgetting.clone(), memory()]).await;
    for shop in [&shop, &other] {
        warm(shop).await;
    }
    for miscount in
        [Miscount::TooFewEntries, Miscount::TooManyEntries, Miscount::NoEntries, Miscount::TooManyProviders]
    {
        failing.set(StoreErrorKind::Unavailable, 1000);
        panicking.set(1000, Calls::Reads);
        miscounting.set(miscount);
        all_found(&shop).await;
    }
    for kind in StoreErrorKind::ALL {
        forgetting.set(kind, 500);
        all_found(&other).await;
        all_found(&other).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_fill_does_not_delay_a_read_beyond_its_limit() {
    let slow = Arc::new(SlowStore::delayed(memory(), Duration::from_secs(60)));
    slow.set_calls(Calls::Writes);
    let last = memory();
    Shop(last.clone()).insert(&[record(1, 1)], NOW).await;
    let tiers = [Tier::of(slow.clone()), Tier::of(slow), Tier::of(last)];
    let shop = open_with(&tiers, json!({ "fill_timeout_ms": 70 })).await;
    let begun = Instant::now();
    assert_eq!(shop.count(1).await, 1);
    assert!(begun.elapsed() < Duration::from_millis(75), "{:?}", begun.elapsed());
    assert_eq!(shop.count(1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_upper_tier_is_not_filled_with_each_read() {
    let full = Arc::new(DropsSome::new(memory(), 1000, 1));
    let last = memory();
    Shop(last.clone()).insert(&[record(1, 1), record(2, 1)], NOW).await;
    let shop = open([full.clone(), last]).await;
    for _ in 0..100 {
        assert_eq!((shop.count(1).await, shop.count(2).await), (1, 1));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let tried = full.counted().inserts;
    assert!((4..=8).contains(&tried), "{tried} fills in 5 s");
    full.set(0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let reads = full.counted().reads;
    for _ in 0..2 {
        assert_eq!((shop.count(1).await, shop.count(2).await), (1, 1));
    }
    assert_eq!(full.counted().reads - reads, 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_upper_tier_delays_a_write_by_its_limit_at_most() {
    let slow = Arc::new(SlowStore::delayed(memory(), Duration::from_secs(60)));
    let shop = open_with(&[Tier::of(slow), Tier::of(memory())], json!({ "write_timeout_ms": 500 })).await;
    assert_eq!(shop.count(1).await, 0);
    let begun = Instant::now();
    shop.insert(&[record(1, 1)], NOW).await;
    assert!(begun.elapsed() < Duration::from_millis(550), "{:?}", begun.elapsed());
    assert_eq!(shop.count(1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn fills_and_writes_together_are_no_more_than_the_upper_tier_takes_at_a_time() {
    // Memory claims many; this one takes one.
    let one = hydra_api::StoreProfile::builder().build();
    let claiming = Arc::new(hydra_conformance::doubles::ClaimingStore::new(memory(), one));
    let slow = Arc::new(SlowStore::delayed(claiming, Duration::from_millis(20)));
    let counted = Arc::new(CountingStore::new(slow));
    let last = memory();
    Shop(last.clone()).insert(&(0..50).map(|number| record(number, number)).collect::<Vec<_>>(), NOW).await;
    let shop = open([counted.clone(), last]).await;
    let read = |number| {
        let shop = shop.clone();
        tokio::spawn(async move { shop.count(number).await })
    };
    let reads: Vec<_> = (0..50).map(read).collect();
    shop.insert(&[record(99, 1)], NOW).await;
    for read in reads {
        assert_eq!(read.await.unwrap(), 1);
    }
    assert_eq!(counted.counted().in_flight_max, 1);
}

#[tokio::test]
async fn without_the_last_tier_complete_keys_are_answered_and_others_are_unknown() {
    let failing = Arc::new(FailingStore::new(memory(), StoreErrorKind::Unavailable, 0, 1));
    let shop = open([memory(), failing.clone()]).await;
    warm(&shop).await;
    failing.set(StoreErrorKind::Overloaded, 1000);
    all_found(&shop).await;
    let found = shop.try_read(&[key(500), key(1), key(501)], NOW, LIMIT).await.unwrap();
    assert_eq!(found[0], Found::Unknown(StoreErrorKind::Overloaded));
    assert_eq!(found[1].providers().len(), 1);
    assert_eq!(found[2], Found::Unknown(StoreErrorKind::Overloaded));
    // Of none of these keys anything is known.
    let error = shop.try_read(&[key(500), key(501)], NOW, LIMIT).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Overloaded);
    let failed = shop.try_insert(&[record(1, 9)], NOW).await;
    assert_eq!(failed.unwrap_err().kind(), StoreErrorKind::Overloaded);
    failing.set(StoreErrorKind::Overloaded, 0);
    assert_eq!(shop.count(500).await, 0);
    all_found(&shop).await;
}

#[tokio::test]
async fn keys_that_a_part_of_the_last_tier_does_not_know_are_unknown_and_not_filled() {
    let unknown = Arc::new(UnknownForSome::new(memory(), StoreErrorKind::Unavailable, 500, 1));
    let shop = open([memory(), unknown.clone()]).await;
    let keys: Vec<_> = (0..100).map(key).collect();
    let found = shop.try_read(&keys, NOW, LIMIT).await.unwrap();
    for (key, found) in keys.iter().zip(&found) {
        assert_eq!(*found == Found::Unknown(StoreErrorKind::Unavailable), unknown.is_unknown(key));
    }
    unknown.set(StoreErrorKind::Unavailable, 0);
    let records: Vec<_> = (0..100).map(|number| record(number, number % 7)).collect();
    shop.insert(&records, NOW).await;
    all_found(&shop).await;
}

#[tokio::test]
async fn an_upper_tier_that_failed_is_not_believed_before_it_is_filled_again() {
    // It was restarted, and has lost the last of what it had acknowledged: that shows in no number of providers.
    let upper = Arc::new(FailingStore::new(memory(), StoreErrorKind::Unavailable, 0, 1));
    let last = memory();
    let tiers = [Tier::of(upper.clone()), Tier::of(last.clone())];
    let shop = open_with(&tiers, json!({ "writes": "all" })).await;
    shop.insert(&[record(1, 1)], NOW).await;
    assert_eq!((shop.count(1).await, shop.count(1).await), (1, 1));
    Shop(last).insert(&[record(1, 2)], NOW).await;
    assert_eq!(shop.count(1).await, 1);
    upper.set(StoreErrorKind::Unavailable, 1000);
    assert_eq!(shop.read_at(7, later(0), LIMIT).await.len(), 0);
    shop.insert(&[record(8, 1)], NOW).await;
    upper.set(StoreErrorKind::Unavailable, 0);
    assert_eq!(shop.count(1).await, 2);
}

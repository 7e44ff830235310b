//! A fill that meets a write: whatever comes first, what the last tier has is read.

use crate::reads::Losing;
use crate::rig::{LIMIT, Shop, Tier, counting, later, memory, open, open_with};
use hydra_api::{ProviderRecord, RecordOutcome, StoreErrorKind};
use hydra_conformance::doubles::{
    Afterwards, Calls, CommitsThenFails, Double, FailingStore, FrozenStore, SlowStore, UnknownForSome, Waits,
};
use hydra_conformance::given::{NOW, addresses, record};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const READ: Duration = Duration::from_millis(100);

/// A last tier whose reads bring what was there when they began.
fn slow_to_read() -> Arc<SlowStore> {
    let slow = SlowStore::delayed(memory(), READ);
    slow.set_calls(Calls::Reads);
    slow.set_waits(Waits::AfterCall);
    Arc::new(slow)
}

#[tokio::test(start_paused = true)]
async fn a_fill_leaves_no_mark_if_the_upper_tier_failed_on_a_write_meanwhile() {
    let failing = Arc::new(FailingStore::new(memory(), StoreErrorKind::Overloaded, 0, 1));
    failing.set_calls(Calls::Writes);
    let shop = open([failing.clone(), slow_to_read()]).await;
    let reader = shop.clone();
    let reading = tokio::spawn(async move { reader.count(1).await });
    tokio::time::sleep(READ / 2).await;
    failing.set(StoreErrorKind::Overloaded, 1000);
    shop.insert(&[record(1, 1)], NOW).await;
    failing.set(StoreErrorKind::Overloaded, 0);
    assert_eq!(reading.await.unwrap(), 0, "it began before");
    assert_eq!(shop.count(1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_fill_leaves_no_mark_if_the_last_tier_alone_was_written_meanwhile() {
    let tiers = [Tier::of(memory()), Tier::of(slow_to_read())];
    let shop = open_with(&tiers, json!({ "writes": "last" })).await;
    let reader = shop.clone();
    let reading = tokio::spawn(async move { reader.count(1).await });
    tokio::time::sleep(READ / 2).await;
    shop.insert(&[record(1, 1)], NOW).await;
    assert_eq!(reading.await.unwrap(), 0);
    assert_eq!(shop.count(1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_fill_of_an_old_answer_takes_nothing_from_a_write_that_both_have_taken() {
    let shop = open([memory(), slow_to_read()]).await;
    shop.insert(&[record(1, 1)], NOW).await;
    let reader = shop.clone();
    let reading = tokio::spawn(async move { reader.count(1).await });
    tokio::time::sleep(READ / 2).await;
    let longer = ProviderRecord { expires: later(900_000), ..record(1, 1) };
    shop.insert(&[longer, record(1, 2)], NOW).await;
    assert_eq!(reading.await.unwrap(), 1);
    for _ in 0..2 {
        let found = shop.read(1).await;
        assert_eq!((found.len(), found[0].expires), (2, later(900_000)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fill_of_an_old_answer_does_not_forget_what_the_upper_tier_must_have() {
    let losing = Losing::default();
    let shop = open([Arc::new(Double::of(memory(), losing.clone())), slow_to_read()]).await;
    let reader = shop.clone();
    let reading = tokio::spawn(async move { reader.count(1).await });
    tokio::time::sleep(READ / 2).await;
    shop.insert(&[record(1, 1)], NOW).await;
    assert_eq!(reading.await.unwrap(), 0);
    losing.keys.store(true, Ordering::Relaxed);
    assert_eq!(shop.count(1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn s6_a_fill_of_old_addresses_does_not_bring_them_back() {
    let upper = memory();
    let shop = open([upper.clone(), slow_to_read()]).await;
    shop.insert(&[record(1, 1)], NOW).await;
    assert_eq!(shop.count(1).await, 1);
    // Key 2 is read with the old addresses, and put into the upper tier after the new ones.
    shop.insert(&[record(2, 1)], NOW).await;
    let reader = shop.clone();
    let reading = tokio::spawn(async move { reader.read(2).await });
    tokio::time::sleep(READ / 2).await;
    shop.insert(&[ProviderRecord { addresses: addresses(7), ..record(3, 1) }], later(1)).await;
    assert_eq!(reading.await.unwrap()[0].addresses, addresses(1));
    // Whatever the upper tier has now: as another process could have put it there.
    Shop(upper).insert(&[record(4, 1)], later(1)).await;
    for _ in 0..2 {
        for number in 1..=3 {
            assert_eq!(
                shop.read_at(number, later(1), LIMIT).await[0].addresses,
                addresses(7),
                "key {number}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s14_a_dropped_insert_that_the_last_tier_has_taken_is_read() {
    let hangs = Arc::new(CommitsThenFails::new(memory(), Afterwards::Hangs));
    let shop = open([memory(), hangs.clone()]).await;
    assert_eq!(shop.count(1).await, 0);
    let insert = shop.0.insert([record(1, 1)].into(), NOW);
    assert!(tokio::time::timeout(READ, insert).await.is_err());
    assert_eq!(shop.count(1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn s14_an_insert_that_is_dropped_before_the_upper_tier_has_taken_it_is_read() {
    let frozen = Arc::new(FrozenStore::thawed(memory()));
    let shop = open([frozen.clone(), memory()]).await;
    assert_eq!(shop.count(1).await, 0);
    frozen.freeze_calls(Calls::Writes);
    let insert = shop.0.insert([record(1, 1)].into(), NOW);
    assert!(tokio::time::timeout(READ, insert).await.is_err());
    frozen.thaw();
    assert_eq!(shop.count(1).await, 1);
}

#[tokio::test]
async fn a_write_that_failed_may_still_come_to_its_end() {
    let last = memory();
    let failing = Arc::new(FailingStore::new(last.clone(), StoreErrorKind::Unavailable, 1000, 1));
    failing.set_calls(Calls::Writes);
    let shop = open([memory(), failing]).await;
    assert_eq!(shop.count(1).await, 0);
    let failed = shop.try_insert(&[record(1, 1)], NOW).await;
    assert_eq!(failed.unwrap_err().kind(), StoreErrorKind::Unavailable);
    // Read between the error and the end of the write at the server.
    assert_eq!(shop.count(1).await, 0);
    Shop(last).insert(&[record(1, 1)], NOW).await;
    assert_eq!(shop.count(1).await, 1);
}

#[tokio::test]
async fn a_record_of_which_the_last_tier_says_nothing_may_still_come_to_its_end() {
    let last = memory();
    let unknown = Arc::new(UnknownForSome::new(last.clone(), StoreErrorKind::Unavailable, 1000, 1));
    unknown.set_calls(Calls::Writes);
    let shop = open([memory(), unknown]).await;
    assert_eq!(shop.count(1).await, 0);
    let outcomes = shop.outcomes(&[record(1, 1)]).await;
    assert_eq!(outcomes, [RecordOutcome::Unknown(StoreErrorKind::Unavailable)]);
    assert_eq!(shop.count(1).await, 0);
    Shop(last).insert(&[record(1, 1)], NOW).await;
    assert_eq!(shop.count(1).await, 1);
}

#[tokio::test]
async fn a_write_that_the_last_tier_refused_ends_no_mark() {
    let refusing = Arc::new(FailingStore::new(counting(), StoreErrorKind::Refused, 1000, 1));
    refusing.set_calls(Calls::Writes);
    let shop = open([memory(), refusing.clone()]).await;
    shop.count(1).await;
    let refused = shop.try_insert(&[record(1, 1)], NOW).await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Refused);
    assert_eq!(shop.count(1).await, 0);
    assert_eq!(refusing.counted().reads, 1);
}

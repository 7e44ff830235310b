//! Reads go down the list and fill it upwards, and nothing that the last tier has is hidden.

use crate::rig::{LIMIT, Shop, Tier, counting, later, memory, open, open_with};
use hydra_api::{
    Addresses, ContentKey, Found, Provider, ProviderRecord, ProviderStore, StoreError, StoreErrorKind,
    UnixSeconds, async_trait,
};
use hydra_conformance::doubles::{Behaviour, Calls, Double, FailingStore};
use hydra_conformance::given::{NOW, addresses, key, record};
use serde_json::json;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test]
async fn a_key_is_read_from_the_last_tier_once() {
    let (upper, last) = (counting(), counting());
    Shop(last.clone()).insert(&[record(1, 1), record(1, 2)], NOW).await;
    let shop = open([upper.clone(), last.clone()]).await;
    for _ in 0..6 {
        assert_eq!(shop.count(1).await, 2);
    }
    assert_eq!((last.counted().keys, upper.counted().keys), (1, 5));
    assert_eq!(upper.counted().inserts, 1, "one fill");
}

#[tokio::test]
async fn an_absent_key_is_read_from_the_last_tier_once_and_found_once_it_is_written() {
    let (upper, last) = (counting(), counting());
    let shop = open([upper.clone(), last.clone()]).await;
    for _ in 0..5 {
        assert_eq!(shop.count(1).await, 0);
    }
    assert_eq!((last.counted().keys, upper.counted().inserts), (1, 0));
    shop.insert(&[record(1, 1)], NOW).await;
    assert_eq!(shop.count(1).await, 1);
    assert_eq!(last.counted().keys, 1, "the upper tier has taken it");
}

#[tokio::test]
async fn what_was_written_is_read_from_the_upper_tier_only_after_the_last_one_was_read() {
    // What the last tier has of the key besides is not in the upper one.
    let (upper, last) = (memory(), memory());
    Shop(last.clone()).insert(&[record(1, 1)], NOW).await;
    let shop = open([upper, last]).await;
    shop.insert(&[record(1, 2)], NOW).await;
    assert_eq!(shop.count(1).await, 2);
}

#[tokio::test]
async fn every_tier_above_the_answer_is_filled() {
    let (top, middle, last) = (counting(), counting(), counting());
    Shop(last.clone()).insert(&[record(1, 1)], NOW).await;
    let shop = open([top.clone(), middle.clone(), last.clone()]).await;
    assert_eq!(shop.count(1).await, 1);
    assert_eq!((top.counted().records, middle.counted().records), (1, 1));
    assert_eq!(shop.count(1).await, 1);
    assert_eq!((top.counted().keys, middle.counted().keys, last.counted().keys), (1, 0, 1));
}

#[tokio::test]
async fn one_read_takes_each_key_from_the_tier_that_has_it() {
    let (upper, last) = (counting(), counting());
    let records: Vec<_> = (0..6).map(|number| record(number, number)).collect();
    Shop(last.clone()).insert(&records, NOW).await;
    let shop = open([upper.clone(), last.clone()]).await;
    for number in [1, 3, 5] {
        shop.read(number).await;
    }
    // In order, repeated keys and absent ones too.
    let asked = [3, 0, 1, 9, 3, 4].map(key);
    let found = shop.try_read(&asked, NOW, LIMIT).await.unwrap();
    let lens: Vec<_> = found.iter().map(|found| found.providers().len()).collect();
    assert_eq!(lens, [1, 1, 1, 0, 1, 1]);
    for (at, number) in [(0, 3), (1, 0), (2, 1), (4, 3), (5, 4)] {
        assert_eq!(found[at].providers()[0].peer, record(number, number).provider);
    }
    assert_eq!(last.counted().keys, 3 + 3);
}

#[tokio::test]
async fn addresses_and_their_time_survive_the_fill() {
    let (upper, last) = (counting(), counting());
    Shop(last.clone()).insert(&[record(1, 1)], later(0)).await;
    let shop = open([upper.clone(), last.clone()]).await;
    let hours = |hours: u32| later(3600 * hours);
    let from_last = shop.read_at(1, hours(20), LIMIT).await;
    let from_upper = shop.read_at(1, hours(20), LIMIT).await;
    assert_eq!((last.counted().reads, upper.counted().reads), (1, 1));
    assert_eq!(from_upper, from_last);
    assert_eq!((from_upper[0].addresses_at, &from_upper[0].addresses), (NOW, &addresses(1)));
}

#[tokio::test]
async fn s6_new_addresses_are_those_of_all_keys_whatever_is_written() {
    for writes in ["all", "last"] {
        let shop = open_with(&[Tier::of(memory()), Tier::of(memory())], json!({ "writes": writes })).await;
        shop.insert(&[record(1, 1), record(2, 1)], NOW).await;
        assert_eq!((shop.count(1).await, shop.count(2).await), (1, 1));
        shop.insert(&[ProviderRecord { addresses: addresses(7), ..record(3, 1) }], later(5)).await;
        for number in 1..=3 {
            let found = shop.read_at(number, later(5), LIMIT).await;
            assert_eq!(
                (&found[0].addresses, found[0].addresses_at),
                (&addresses(7), later(5)),
                "key {number}, {writes}"
            );
        }
    }
}

#[tokio::test]
async fn s6_addresses_that_come_with_a_record_that_has_expired_are_not_taken_for_those_of_the_last_tier() {
    let last = memory();
    let tiers = [Tier::of(memory()), Tier::of(last.clone())];
    let shop = open_with(&tiers, json!({ "writes": "last" })).await;
    shop.insert(&[record(1, 1)], NOW).await;
    assert_eq!((shop.count(1).await, shop.count(1).await), (1, 1));
    shop.insert(&[ProviderRecord { addresses: addresses(7), expires: NOW, ..record(2, 1) }], NOW).await;
    assert_eq!(shop.read(1).await, Shop(last).read(1).await);
}

#[tokio::test]
async fn s7_a_record_without_addresses_has_those_that_the_last_tier_knows() {
    let (upper, last) = (memory(), memory());
    Shop(last.clone()).insert(&[record(1, 1)], NOW).await;
    let shop = open([upper, last]).await;
    assert_eq!(shop.count(2).await, 0);
    // The upper tier takes it, and does not know the provider.
    shop.insert(&[ProviderRecord { addresses: Addresses::none(), ..record(2, 1) }], later(9)).await;
    for _ in 0..2 {
        let found = shop.read_at(2, later(9), LIMIT).await;
        assert_eq!((&found[0].addresses, found[0].addresses_at), (&addresses(1), NOW));
    }
}

#[tokio::test]
async fn s5_a_reading_that_was_cut_at_its_limit_completes_no_key() {
    let (upper, last) = (counting(), counting());
    let records: Vec<_> = (0..20).map(|number| record(1, number)).collect();
    Shop(last.clone()).insert(&records, NOW).await;
    let shop = open([upper.clone(), last.clone()]).await;
    for (limit, found, of_last, of_upper) in [
        (5, 5, 1, 0),
        (20, 20, 2, 0),
        (3, 3, 3, 0),
        (21, 20, 4, 0),
        (21, 20, 4, 1),
        (7, 7, 4, 2),
        (100, 20, 4, 3),
    ] {
        assert_eq!(shop.read_at(1, NOW, limit).await.len(), found, "limit {limit}");
        assert_eq!((last.counted().reads, upper.counted().reads), (of_last, of_upper), "limit {limit}");
    }
    // Nothing is left out of what the upper tier has, so it may grow beyond any limit.
    shop.insert(&(20..40).map(|number| record(1, number)).collect::<Vec<_>>(), NOW).await;
    assert_eq!(
        (shop.read_at(1, NOW, 30).await.len(), shop.count(1).await, last.counted().reads),
        (30, 40, 4)
    );
}

#[tokio::test]
async fn s2_an_upper_tier_that_has_an_earlier_expiry_of_a_record_hides_no_later_one() {
    let (upper, last) = (memory(), memory());
    let long = |number| ProviderRecord { expires: later(9000), ..record(1, number) };
    Shop(last.clone()).insert(&(0..20).map(long).collect::<Vec<_>>(), NOW).await;
    let shop = open([upper, last]).await;
    let short = |number| ProviderRecord { expires: later(500), ..record(1, number) };
    shop.insert(&(0..20).map(short).collect::<Vec<_>>(), NOW).await;
    for limit in [5, 5, 10, 30, 5, 30] {
        for found in shop.read_at(1, NOW, limit).await {
            assert_eq!(found.expires, later(9000), "limit {limit}");
        }
    }
}

#[tokio::test]
async fn what_another_process_wrote_to_the_last_tier_alone_is_seen_after_complete_s() {
    let last = memory();
    let top = Arc::new(FailingStore::new(memory(), StoreErrorKind::Unavailable, 0, 1));
    top.set_calls(Calls::Reads);
    let tiers = [Tier::of(top.clone()), Tier::of(memory()), Tier::of(last.clone())];
    let shop = open_with(&tiers, json!({ "complete_s": 60 })).await;
    Shop(last.clone()).insert(&[record(1, 1)], NOW).await;
    assert_eq!(shop.count(1).await, 1);
    Shop(last).insert(&[record(1, 2)], NOW).await;
    // The top fails once, and is filled from the middle then: that makes the answer no younger.
    top.set(StoreErrorKind::Unavailable, 1000);
    assert_eq!(shop.read_at(1, later(30), LIMIT).await.len(), 1);
    top.set(StoreErrorKind::Unavailable, 0);
    assert_eq!(shop.read_at(1, later(31), LIMIT).await.len(), 1);
    assert_eq!(shop.read_at(1, later(59), LIMIT).await.len(), 1);
    assert_eq!(top.counted().reads, 2);
    for _ in 0..2 {
        assert_eq!(shop.read_at(1, later(60), LIMIT).await.len(), 2);
    }
}

#[tokio::test]
async fn what_another_process_wrote_to_both_is_seen_at_once() {
    let (upper, last) = (memory(), memory());
    let tiers = || [Tier::of(upper.clone()), Tier::of(last.clone())];
    let (one, other) = (open_with(&tiers(), json!({})).await, open_with(&tiers(), json!({})).await);
    for number in 0..20 {
        assert_eq!((one.count(number).await, other.count(number).await), (0, 0));
        one.insert(&[record(number, number % 3)], NOW).await;
        assert_eq!((one.count(number).await, other.count(number).await), (1, 1));
    }
    // Its new addresses too: the upper tier has others than this process knows.
    one.insert(&[ProviderRecord { addresses: addresses(9), ..record(50, 1) }], later(1)).await;
    assert_eq!(other.read_at(1, later(1), LIMIT).await[0].addresses, addresses(9));
    assert_eq!(one.read_at(1, later(1), LIMIT).await[0].addresses, addresses(9));
}

/// A store that loses what it has, and says nothing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Losing {
    pub(crate) keys: Arc<AtomicBool>,
    pub(crate) providers: Arc<AtomicBool>,
}

#[async_trait]
impl Behaviour for Losing {
    async fn providers(
        &self,
        inner: &dyn ProviderStore,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        let lost = |found: Found| match found.known() {
            Some(_) if self.keys.load(Ordering::Relaxed) => Found::Known(Vec::new()),
            Some(found) if self.providers.load(Ordering::Relaxed) => Found::Known(less(found)),
            Some(found) => Found::Known(found),
            None => unreachable!("it knows all keys"),
        };
        Ok(inner.providers(keys, now, limit).await?.into_iter().map(lost).collect())
    }
}

fn less(mut found: Vec<Provider>) -> Vec<Provider> {
    found.pop();
    found
}

#[tokio::test]
async fn an_upper_tier_that_evicts_keys_or_records_hides_nothing() {
    let losing = Losing::default();
    let shop = open([Arc::new(Double::of(memory(), losing.clone())), memory()]).await;
    // One that was read, one that was absent and then written, one of several.
    shop.insert(&[record(1, 1)], NOW).await;
    shop.read(2).await;
    shop.insert(&[record(2, 2), record(3, 1), record(3, 2), record(3, 3)], NOW).await;
    for lost in [&losing.providers, &losing.keys] {
        for _ in 0..2 {
            assert_eq!([shop.count(1).await, shop.count(2).await, shop.count(3).await], [1, 1, 3]);
        }
        lost.store(true, Ordering::Relaxed);
        for _ in 0..2 {
            assert_eq!([shop.count(1).await, shop.count(2).await, shop.count(3).await], [1, 1, 3]);
        }
        lost.store(false, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn s4_what_expires_ends_the_answer_of_the_upper_tier_and_is_not_returned() {
    let (upper, last) = (counting(), counting());
    let shop = open([upper.clone(), last.clone()]).await;
    let short = ProviderRecord { expires: later(10), ..record(1, 1) };
    shop.insert(&[short, record(1, 2)], NOW).await;
    assert_eq!((shop.count(1).await, shop.count(1).await), (2, 2));
    for reads_of_upper in [1, 2] {
        assert_eq!(shop.read_at(1, later(10), LIMIT).await.len(), 1);
        assert_eq!((last.counted().reads, upper.counted().reads), (2, reads_of_upper));
    }
}

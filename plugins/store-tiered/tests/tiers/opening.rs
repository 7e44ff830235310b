//! How the tiers are opened, and which are refused.

use crate::rig::{Shop, Tier, counting, memory, open_with, try_open};
use hydra_api::{OpenError, OpenErrorKind, Purpose};
use hydra_conformance::given::{NOW, record};
use serde_json::{Value, json};
use std::time::Duration;

fn two(upper: Tier, last: Tier) -> Value {
    json!({ "tiers": [upper.table(), last.table()] })
}

fn key(error: &OpenError) -> &str {
    let OpenErrorKind::Config { key } = error.kind() else { panic!("{error:?}") };
    key
}

#[tokio::test(start_paused = true)]
async fn an_upper_tier_that_is_away_at_the_start_is_used_once_it_is_there() {
    let (late, last, upper) = (Tier::away(), counting(), counting());
    let shop = open_with(&[late, Tier::of(last.clone())], json!({})).await;
    shop.insert(&[record(1, 1)], NOW).await;
    assert_eq!((shop.count(1).await, shop.count(2).await), (1, 0));
    late.arrives(upper.clone());
    tokio::time::sleep(Duration::from_secs(2)).await;
    for _ in 0..3 {
        assert_eq!((shop.count(1).await, shop.count(2).await), (1, 0));
    }
    assert_eq!((last.counted().reads, upper.counted().records), (4, 1));
    shop.0.close().await.unwrap();
    assert!(upper.is_closed());
}

#[tokio::test(start_paused = true)]
async fn an_upper_tier_that_hangs_or_panics_while_it_is_opened_is_opened_later() {
    for fails in [Tier::falls_silent, Tier::panics] {
        let (late, upper) = (Tier::away(), counting());
        fails(late);
        let shop = open_with(&[late, Tier::of(memory())], json!({})).await;
        shop.insert(&[record(1, 1)], NOW).await;
        // The next attempts fail as the first one.
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!((shop.count(1).await, upper.counted().statements), (1, 0));
        late.arrives(upper.clone());
        tokio::time::sleep(Duration::from_secs(40)).await;
        for _ in 0..3 {
            assert_eq!(shop.count(1).await, 1);
        }
        assert_eq!(upper.counted().records, 1, "it is filled");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tier_that_comes_after_the_end_stays_closed() {
    let (late, upper) = (Tier::away(), counting());
    let shop = open_with(&[late, Tier::of(memory())], json!({})).await;
    shop.0.close().await.unwrap();
    late.arrives(upper.clone());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(upper.counted().statements, 0);
    assert!(shop.0.estimate().await.is_err());
}

#[tokio::test]
async fn the_last_tier_must_be_there_at_the_start() {
    let upper = counting();
    let error = try_open(two(Tier::of(upper), Tier::away()), Purpose::Serve).await.unwrap_err();
    assert_eq!(*error.kind(), OpenErrorKind::Unavailable);
}

#[tokio::test]
async fn a_check_and_a_migration_need_every_tier() {
    for purpose in [Purpose::Check, Purpose::Migrate] {
        let last = counting();
        let error = try_open(two(Tier::away(), Tier::of(last.clone())), purpose).await.unwrap_err();
        assert_eq!(*error.kind(), OpenErrorKind::Unavailable);
        assert!(last.is_closed(), "nothing stays open");
    }
}

#[tokio::test]
async fn a_mistake_in_a_tier_is_named_from_the_table_of_the_store_down() {
    let (first, last) = (counting(), counting());
    let wrong = json!({ "kind": "held", "nummer": 1 });
    let table = json!({ "tiers": [Tier::of(first.clone()).table(), wrong, Tier::of(last.clone()).table()] });
    let error = try_open(table, Purpose::Serve).await.unwrap_err();
    assert_eq!(key(&error), "tiers[1].nummer");
    assert!(first.is_closed() && last.is_closed(), "nothing stays open");

    let unknown = json!({ "tiers": [{ "kind": "heled" }, Tier::of(memory()).table()] });
    assert_eq!(key(&try_open(unknown, Purpose::Serve).await.unwrap_err()), "tiers[0].kind");
    let no_such = json!({ "tiers": [{ "kind": "held", "number": u32::MAX }, Tier::of(memory()).table()] });
    assert_eq!(key(&try_open(no_such, Purpose::Serve).await.unwrap_err()), "tiers[0].number");
}

#[tokio::test]
async fn there_are_two_to_four_tiers() {
    for len in [0, 1, 5] {
        let tiers: Vec<Value> = (0..len).map(|_| Tier::of(memory()).table()).collect();
        let error = try_open(json!({ "tiers": tiers }), Purpose::Serve).await.unwrap_err();
        assert_eq!(key(&error), "tiers");
    }
    let tiers: Vec<Value> = (0..4).map(|_| Tier::of(memory()).table()).collect();
    let Shop(store) = try_open(json!({ "tiers": tiers }), Purpose::Serve).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn two_tiers_in_one_place_are_refused() {
    let redis = |prefix: &str| json!({ "kind": "redis", "hosts": ["a:1"], "prefix": prefix });
    let dir = |kind: &str, dir: &str| json!({ "kind": kind, "dir": dir });
    let inner = |dir: Value| json!({ "kind": "tiered", "tiers": [{ "kind": "memory" }, dir] });
    for (one, other, shared) in [
        (redis("a"), redis("a"), "tiers[1].hosts"),
        (dir("fjall", "records"), inner(dir("fjall", "records")), "tiers[1].tiers[1].dir"),
        (dir("fjall", "records"), dir("sled", "./records"), "tiers[1].dir"),
        (dir("fjall", "records"), dir("fjall", "unused/../unused/records"), ""),
        (redis("a"), redis("b"), ""),
        (json!({ "kind": "memory" }), json!({ "kind": "memory" }), ""),
    ] {
        let opened = try_open(json!({ "tiers": [one, other] }), Purpose::Serve).await;
        match opened {
            Err(error) if !shared.is_empty() => assert_eq!(key(&error), shared),
            // The kinds are not known here: that is found after.
            Err(error) => assert!(error.to_string().contains("unknown kind"), "{error}"),
            Ok(_) => assert!(shared.is_empty()),
        }
    }
}

#[tokio::test]
async fn a_tier_may_have_tiers() {
    let inner = json!({ "kind": "tiered", "tiers": [{ "kind": "memory" }, { "kind": "memory" }] });
    let shop = try_open(json!({ "tiers": [{ "kind": "memory" }, inner] }), Purpose::Serve).await.unwrap();
    shop.insert(&[record(1, 1)], NOW).await;
    assert_eq!((shop.count(1).await, shop.count(1).await), (1, 1));
}

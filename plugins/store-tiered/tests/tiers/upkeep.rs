//! The profile, the purge, the estimate and the end.

use crate::rig::{Shop, Tier, counting, later, memory, open, open_with};
use hydra_api::{
    DeleteProgress, Deletion, Durability, Estimate, EstimateMethod, Expiry, ProviderRecord, ProviderStore,
    PurgeProgress, Sharing, StoreErrorKind, StoreProfile,
};
use hydra_conformance::doubles::{Calls, ClaimingStore, FailingStore, FrozenStore};
use hydra_conformance::given::{NOW, key, record};
use serde_json::json;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

fn len(len: usize) -> NonZeroUsize {
    NonZeroUsize::new(len).unwrap()
}

fn profile(calls: usize, batch: usize) -> StoreProfile {
    let profile = StoreProfile::builder().concurrency_max(len(calls)).write_batch_len_max(len(batch));
    profile.read_batch_len_max(len(batch)).build()
}

fn claiming(profile: StoreProfile) -> Arc<ClaimingStore> {
    Arc::new(ClaimingStore::new(memory(), profile))
}

#[tokio::test]
async fn the_profile_is_that_of_the_last_tier_with_what_each_tier_takes() {
    let survives = Durability::SurvivesRestart { window: Duration::from_millis(3) };
    let of_last = StoreProfile::builder().concurrency_max(len(8)).read_batch_len_max(len(64));
    let of_last = of_last.write_batch_len_max(len(512)).durability(survives);
    let of_last = of_last.sharing(Sharing::BetweenProcesses).refresh_slack(Duration::from_secs(10)).build();
    let (upper, last) = (claiming(profile(4, 100)), claiming(of_last));
    let shop = open([upper.clone(), last.clone()]).await;
    let claimed = shop.0.profile();
    assert_eq!(
        (claimed.concurrency_max, claimed.reads.batch_len_max, claimed.writes.batch_len_max),
        (len(4), len(64), len(100))
    );
    assert_eq!(
        (claimed.durability, claimed.sharing, claimed.refresh_slack),
        (survives, Sharing::BetweenProcesses, Duration::from_secs(10))
    );
    // A capacity that changes is followed.
    last.set_profile(Some(profile(2, 64)));
    assert_eq!(shop.0.profile().concurrency_max, len(2));
    upper.set_profile(Some(profile(1, 64)));
    assert_eq!(shop.0.profile().concurrency_max, len(1));
}

#[tokio::test]
async fn what_the_tiers_take_counts_only_while_they_are_used() {
    let narrow = StoreProfile::builder().concurrency_max(len(9)).write_concurrency_max(len(1)).build();
    let upper = Arc::new(FailingStore::new(claiming(narrow), StoreErrorKind::Unavailable, 0, 1));
    let tiers = [Tier::of(upper.clone()), Tier::of(claiming(profile(8, 64)))];
    let all = open_with(&tiers, json!({})).await;
    let last = open_with(&tiers, json!({ "writes": "last" })).await;
    assert_eq!(
        (all.0.profile().writes.concurrency_max, last.0.profile().writes.concurrency_max),
        (len(1), len(8))
    );
    assert_eq!(all.0.profile().writes.batch_len_max, len(1));
    upper.set(StoreErrorKind::Unavailable, 1000);
    all.insert(&[record(1, 1)], NOW).await;
    assert_eq!(all.0.profile().writes.concurrency_max, len(8));
    upper.set(StoreErrorKind::Unavailable, 0);
    all.insert(&[record(1, 1)], NOW).await;
    assert_eq!(all.0.profile().writes.concurrency_max, len(1));
}

#[tokio::test]
async fn each_tier_is_purged_and_what_the_last_one_removed_counts() {
    let (upper, last) = (memory(), memory());
    let shop = open([upper.clone(), last.clone()]).await;
    let old: Vec<_> =
        (0..50).map(|number| ProviderRecord { expires: later(10), ..record(number, 1) }).collect();
    shop.insert(&old, NOW).await;
    // The upper tier has more of them.
    let more: Vec<_> =
        (100..200).map(|number| ProviderRecord { expires: later(10), ..record(number, 1) }).collect();
    Shop(upper.clone()).insert(&more, NOW).await;
    let (mut removed, mut steps) = (0, 0);
    loop {
        let purged = shop.0.purge_expired(later(10), NonZeroU32::new(20).unwrap()).await.unwrap();
        (removed, steps) = (removed + purged.removed, steps + 1);
        match purged.progress {
            PurgeProgress::More => {}
            progress => break assert_eq!(progress, PurgeProgress::Done),
        }
    }
    assert_eq!((removed, steps), (50, 8));
    for tier in [&upper, &last] {
        assert_eq!(tier.estimate().await.unwrap().records, 0);
    }
}

#[tokio::test]
async fn an_upper_tier_that_cannot_be_purged_fails_no_purge() {
    let upper = Arc::new(FailingStore::new(memory(), StoreErrorKind::Unavailable, 1000, 1));
    let shop = open([upper.clone(), memory()]).await;
    let purged = shop.0.purge_expired(later(10), NonZeroU32::MIN).await.unwrap();
    assert_eq!(purged.progress, PurgeProgress::Done);
}

#[tokio::test]
async fn a_tier_that_expires_by_itself_is_not_purged() {
    let by_itself = StoreProfile::builder().expiry(Expiry::ByItself).build();
    let (upper, last) = (counting(), claiming(by_itself));
    let shop = open([upper.clone(), last.clone()]).await;
    assert_eq!(shop.0.profile().expiry, Expiry::ByPurge);
    shop.0.purge_expired(NOW, NonZeroU32::MIN).await.unwrap();
    assert_eq!((upper.counted().purges, last.counted().purges), (1, 0));
    let shop = open([claiming(by_itself), claiming(by_itself)]).await;
    assert_eq!(shop.0.profile().expiry, Expiry::ByItself);
}

#[tokio::test]
async fn the_estimate_is_that_of_the_last_tier() {
    let last = claiming(profile(1, 1));
    let estimate = Estimate::new(12_345, Duration::from_secs(9), EstimateMethod::Sampled);
    last.set_estimate(Some(estimate));
    let shop = open([counting(), last]).await;
    assert_eq!(shop.0.estimate().await.unwrap(), estimate);
}

#[tokio::test(start_paused = true)]
async fn all_tiers_are_closed_and_an_error_of_the_last_one_is_reported() {
    let failing = |calls| {
        let store = FailingStore::new(memory(), StoreErrorKind::Unavailable, 1000, 1);
        store.set_calls(calls);
        Arc::new(store)
    };
    let (upper, last) = (counting(), failing(Calls::Close));
    let shop = open([upper.clone(), last.clone()]).await;
    assert_eq!(shop.0.close().await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert!(upper.is_closed() && last.is_closed());

    // Of upper ones nothing is lost that counts, and none of them keeps the last one open.
    let frozen = Arc::new(FrozenStore::frozen(memory()));
    let (upper, last) = (failing(Calls::Close), counting());
    let shop = open([upper.clone(), frozen, last.clone()]).await;
    shop.0.close().await.unwrap();
    assert!(upper.is_closed() && last.is_closed());
    assert_eq!(shop.0.estimate().await.unwrap_err().kind(), StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn a_deletion_leaves_the_record_in_no_tier() {
    let (upper, last) = (memory(), memory());
    let shop = open([upper.clone(), last.clone()]).await;
    shop.insert(&[record(1, 1), record(1, 2), record(2, 1)], NOW).await;
    let reading = async |store: &dyn ProviderStore, number| {
        let found = store.providers([key(number)].into(), NOW, NonZeroU32::new(9).unwrap()).await.unwrap();
        found[0].providers().len()
    };
    assert_eq!(reading(&*shop.0, 1).await, 2, "it is complete from now on");
    let deleted = shop.0.delete(Deletion::Key(key(1)), NonZeroU32::MIN).await.unwrap();
    assert_eq!((deleted.removed, deleted.progress), (1, DeleteProgress::More));
    let deleted = shop.0.delete(Deletion::Key(key(1)), NonZeroU32::new(9).unwrap()).await.unwrap();
    assert_eq!((deleted.removed, deleted.progress), (1, DeleteProgress::Done));
    for store in [&*shop.0, &*upper, &*last] {
        assert_eq!((reading(store, 1).await, reading(store, 2).await), (0, 1));
    }
}

/// A record that an upper tier keeps would be read again.
#[tokio::test]
async fn a_deletion_that_an_upper_tier_does_not_get_fails() {
    let upper = Arc::new(FailingStore::new(memory(), StoreErrorKind::Unavailable, 0, 1));
    let shop = open([upper.clone(), memory()]).await;
    shop.insert(&[record(1, 1)], NOW).await;
    upper.set(StoreErrorKind::Unavailable, 1000);
    let all = NonZeroU32::new(9).unwrap();
    assert!(shop.0.delete(Deletion::Key(key(1)), all).await.is_err());
    upper.set(StoreErrorKind::Unavailable, 0);
    let deleted = shop.0.delete(Deletion::Key(key(1)), all).await.unwrap();
    assert_eq!(deleted.progress, DeleteProgress::Done);
}

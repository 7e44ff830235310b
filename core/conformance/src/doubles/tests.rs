use super::*;
use crate::given::{NOW, batch, key, peer, record};
use futures::FutureExt;
use hydra_api::{Durability, EstimateMethod, RecordOutcome, StoreErrorKind};
use hydra_store_memory::{Config, Memory};
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn memory() -> Arc<dyn ProviderStore> {
    Arc::new(Memory::new(&Config::default()))
}

/// A batch of records of different keys.
fn records(len: u64) -> Arc<[ProviderRecord]> {
    (0..len).map(|number| record(number, 1)).collect()
}

/// The numbers of the keys that have a provider.
async fn there(store: &dyn ProviderStore, len: u64) -> Vec<u64> {
    let keys: Arc<[_]> = (0..len).map(key).collect();
    let found = store.providers(keys, NOW, NonZeroU32::MIN).await.unwrap();
    let there = (0..).zip(found).filter(|(_, entry)| *entry != Found::Known(Vec::new()));
    there.map(|(number, _)| number).collect()
}

#[tokio::test(start_paused = true)]
async fn a_delayed_store_takes_as_long_for_many_calls_at_a_time() {
    let store = SlowStore::delayed(memory(), Duration::from_millis(300));
    let begun = Instant::now();
    let calls = (0..10).map(|_| store.insert(records(10), NOW));
    futures::future::try_join_all(calls).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_millis(300));
}

#[tokio::test(start_paused = true)]
async fn a_store_with_costs_takes_longer_for_longer_batches() {
    let store = SlowStore::costing(memory(), SECOND, Duration::from_millis(10));
    let begun = Instant::now();
    let (one, other) = tokio::join!(store.insert(records(1), NOW), store.insert(records(50), NOW));
    assert_eq!((one.unwrap(), other.unwrap()), (Inserted::All, Inserted::All));
    assert_eq!(begun.elapsed(), SECOND * 3 / 2);
    store.set_calls(Calls::Reads);
    store.insert(records(50), NOW).await.unwrap();
    assert_eq!(begun.elapsed(), SECOND * 3 / 2);
    store.set_close_delay(SECOND * 2);
    store.close().await.unwrap();
    assert_eq!(begun.elapsed(), SECOND * 7 / 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_at_a_speed_serves_one_after_another() {
    let store = SlowStore::at_speed(memory(), NonZeroU32::new(100).unwrap());
    let begun = Instant::now();
    let (one, other) = tokio::join!(store.insert(records(50), NOW), store.insert(records(50), NOW));
    assert_eq!((one.unwrap(), other.unwrap()), (Inserted::All, Inserted::All));
    assert_eq!(begun.elapsed(), SECOND);
    store.set_speed(None);
    store.insert(records(50), NOW).await.unwrap();
    assert_eq!(begun.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_waits_after_the_call_reads_what_was_there_when_it_began() {
    let inner = memory();
    let store = SlowStore::delayed(inner.clone(), SECOND);
    store.set_waits(Waits::AfterCall);
    let begun = Instant::now();
    let mut insert = store.insert(records(1), NOW);
    assert!((&mut insert).now_or_never().is_none());
    assert_eq!(there(&*inner, 9).await, [0], "it is there");
    insert.await.unwrap();
    assert_eq!(begun.elapsed(), SECOND, "and known to be");
    let (found, written) = tokio::join!(there(&store, 9), inner.insert(records(5), NOW));
    assert_eq!((found, written.unwrap()), (vec![0], Inserted::All));
    store.close().now_or_never().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_frozen_store_answers_after_the_thaw() {
    let store = FrozenStore::frozen(memory());
    let mut read = store.providers(Arc::from([key(1)]), NOW, NonZeroU32::MIN);
    let waited = tokio::time::timeout(Duration::from_secs(3600), &mut read).await;
    assert!(waited.is_err(), "a frozen store answered");
    store.thaw();
    assert_eq!(read.await.unwrap().len(), 1);
    store.freeze_calls(Calls::Reads);
    store.insert(records(1), NOW).await.unwrap();
    assert!(store.providers(Arc::from([key(1)]), NOW, NonZeroU32::MIN).now_or_never().is_none());
    store.freeze();
    assert!(store.close().now_or_never().is_none(), "a frozen store was closed");
}

#[tokio::test]
async fn a_failing_store_fails_its_share_with_its_kind() {
    let store = FailingStore::new(memory(), StoreErrorKind::Overloaded, 250, 7);
    let mut failed = 0;
    for _ in 0..1000 {
        if let Err(error) = store.insert(records(1), NOW).await {
            assert_eq!((error.kind(), error.operation()), (StoreErrorKind::Overloaded, "insert"));
            failed += 1;
        }
    }
    assert!((200..300).contains(&failed), "{failed} of 1,000 failed");
    assert_eq!(store.counted().answered, 1000 - failed);
    store.set(StoreErrorKind::Corrupt, 1000);
    store.set_retry_after(Some(SECOND));
    let error = store.estimate().await.unwrap_err();
    assert_eq!((error.kind(), error.pause()), (StoreErrorKind::Corrupt, Some(SECOND)));
    store.set_calls(Calls::Reads);
    store.estimate().await.unwrap();
    store.set_calls(Calls::AllWithClose);
    assert_eq!(store.close().await.unwrap_err().kind(), StoreErrorKind::Corrupt);
    assert!(store.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_flapping_store_fails_and_serves_in_turn() {
    let store = FailingStore::new(memory(), StoreErrorKind::Unavailable, 1000, 7);
    store.flap(SECOND);
    let mut served = Vec::new();
    for _ in 0..8 {
        tokio::time::advance(SECOND / 2).await;
        served.push(store.estimate().await.is_ok());
    }
    assert_eq!(served, [false, true, true, false, false, true, true, false]);
}

#[tokio::test]
async fn a_store_that_commits_and_fails_has_stored_all() {
    let store = CommitsThenFails::new(memory(), Afterwards::Fails(StoreErrorKind::Unavailable));
    assert_eq!(store.insert(records(3), NOW).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(there(&store, 9).await, [0, 1, 2]);
    store.set(Afterwards::Hangs);
    assert!(store.insert(records(5), NOW).now_or_never().is_none());
    assert_eq!(there(&store, 9).await, [0, 1, 2, 3, 4]);
    store.set(Afterwards::Answers);
    assert_eq!(store.insert(records(5), NOW).await.unwrap(), Inserted::All);
}

#[tokio::test]
async fn a_store_that_stores_half_fails() {
    let store = StoresHalf::new(memory(), StoreErrorKind::Overloaded);
    assert_eq!(store.insert(records(7), NOW).await.unwrap_err().kind(), StoreErrorKind::Overloaded);
    assert_eq!(there(&store, 9).await, [0, 1, 2]);
    store.set(None);
    assert_eq!(store.insert(records(7), NOW).await.unwrap(), Inserted::All);
}

#[tokio::test]
async fn a_store_that_drops_some_always_drops_the_same() {
    let store = DropsSome::new(memory(), 300, 7);
    let batch = records(1000);
    let Inserted::Each(outcomes) = store.insert(batch.clone(), NOW).await.unwrap() else { panic!("all") };
    for (record, outcome) in batch.iter().zip(&outcomes) {
        let expected = if store.drops(record) { RecordOutcome::NoRoom } else { RecordOutcome::Taken };
        assert_eq!(*outcome, expected);
    }
    let taken = outcomes.iter().filter(|outcome| **outcome == RecordOutcome::Taken).count();
    assert!((650..750).contains(&taken), "{taken} of 1,000 were taken");
    assert_eq!(there(&store, 1000).await.len(), taken);
    assert_eq!(store.insert(batch, NOW).await.unwrap(), Inserted::Each(outcomes));
}

#[tokio::test]
async fn a_store_that_refuses_a_record_fails_the_batches_with_it() {
    let store = RefusesRecord::new(memory(), Poison::default(), [(key(2), peer(1))]);
    assert_eq!(store.insert(records(4), NOW).await.unwrap_err().kind(), StoreErrorKind::Refused);
    assert_eq!(there(&store, 9).await, [0; 0]);
    assert_eq!(store.insert(records(2), NOW).await.unwrap(), Inserted::All);
    store.set(Poison::Fails(StoreErrorKind::Unavailable));
    assert_eq!(store.insert(records(3), NOW).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    store.set(Poison::Panics);
    assert!(AssertUnwindSafe(store.insert(records(3), NOW)).catch_unwind().await.is_err());
    assert_eq!(there(&store, 9).await, [0, 1]);
    store.set(Poison::Outcome);
    let Inserted::Each(outcomes) = store.insert(records(4), NOW).await.unwrap() else { panic!("all") };
    assert!(matches!(
        outcomes[..],
        [RecordOutcome::Taken, _, RecordOutcome::Refused(_), RecordOutcome::Taken]
    ));
    store.take_all();
    assert_eq!(store.insert(records(4), NOW).await.unwrap(), Inserted::All);
}

#[tokio::test]
async fn a_store_does_not_know_some_keys_and_tells_of_the_others() {
    let (inner, kind) = (memory(), StoreErrorKind::Unavailable);
    let store = UnknownForSome::new(inner.clone(), kind, 500, 7);
    let batch = records(200);
    let Inserted::Each(outcomes) = store.insert(batch.clone(), NOW).await.unwrap() else { panic!("all") };
    let keys: Arc<[_]> = batch.iter().map(|record| record.key).collect();
    let found = store.providers(keys, NOW, NonZeroU32::MIN).await.unwrap();
    let mut unknown = 0;
    for ((record, outcome), entry) in batch.iter().zip(outcomes).zip(found) {
        let is_unknown = store.is_unknown(&record.key);
        assert_eq!(outcome == RecordOutcome::Unknown(kind), is_unknown);
        assert_eq!(entry == Found::Unknown(kind), is_unknown);
        unknown += usize::from(is_unknown);
    }
    assert!((70..130).contains(&unknown), "{unknown} of 200 are unknown");
    assert_eq!(there(&*inner, 200).await.len(), 200 - unknown);
    store.set(kind, 0);
    assert_eq!(store.insert(batch, NOW).await.unwrap(), Inserted::All);
}

#[tokio::test]
async fn a_store_that_miscounts_gives_wrong_lengths() {
    let store = Miscounts::new(memory(), Miscount::Nothing);
    store.insert(batch(&[record(1, 1), record(1, 2), record(2, 1)]), NOW).await.unwrap();
    let lens = async |miscount| {
        store.set(miscount);
        let found = store.providers(Arc::from([key(1), key(2)]), NOW, NonZeroU32::MIN).await.unwrap();
        found.into_iter().map(|entry| entry.known().unwrap().len()).collect::<Vec<_>>()
    };
    assert_eq!(lens(Miscount::TooFewEntries).await, [1]);
    assert_eq!(lens(Miscount::TooManyEntries).await, [1, 1, 0]);
    assert_eq!(lens(Miscount::NoEntries).await, [0; 0]);
    assert_eq!(lens(Miscount::TooManyProviders).await, [2, 1]);
    // Twice, and no more than the limit: nothing but the repetition is wrong.
    assert_eq!(lens(Miscount::ProvidersTwice).await, [1, 1]);
    for (limit, expected) in [(2, [2, 2]), (3, [3, 2]), (4, [4, 2]), (100, [4, 2])] {
        let limit = NonZeroU32::new(limit).unwrap();
        let found = store.providers(Arc::from([key(1), key(2)]), NOW, limit).await.unwrap();
        for (entry, expected) in found.into_iter().zip(expected) {
            let entry = entry.known().unwrap();
            assert_eq!(entry.len(), expected, "under {limit}");
            assert!(entry.chunks_exact(2).all(|pair| pair[0] == pair[1]) && entry[0] == entry[1]);
        }
    }
    for (miscount, expected) in [(Miscount::TooFewOutcomes, 1), (Miscount::TooManyOutcomes, 3)] {
        store.set(miscount);
        let inserted = store.insert(records(2), NOW).await.unwrap();
        assert_eq!(inserted, Inserted::Each(vec![RecordOutcome::Taken; expected]));
    }
}

#[tokio::test]
async fn a_store_that_panics_does_so_in_its_share_of_the_chosen_calls() {
    let store = PanicsSometimes::new(memory(), 1000, 7);
    store.set(500, Calls::Writes);
    let mut panicked = 0;
    for _ in 0..200 {
        store.estimate().await.unwrap();
        let inserted = AssertUnwindSafe(store.insert(records(1), NOW)).catch_unwind().await;
        panicked += usize::from(inserted.is_err());
    }
    assert!((70..130).contains(&panicked), "{panicked} of 200 panicked");
    assert_eq!(store.counted().in_flight, 0);
}

#[tokio::test]
async fn a_claiming_store_claims_what_it_is_told_to() {
    let profile = |calls| StoreProfile::builder().concurrency_max(NonZeroUsize::new(calls).unwrap()).build();
    let store = ClaimingStore::new(memory(), profile(4));
    assert_eq!(store.profile(), profile(4));
    store.set_profile(Some(profile(2)));
    assert_eq!(store.profile(), profile(2));
    let old = Estimate::new(7, Duration::MAX, EstimateMethod::Statistics);
    store.set_estimate(Some(old));
    assert_eq!(store.estimate().await.unwrap(), old);
    store.set_profile(None);
    store.set_estimate(None);
    assert_eq!(
        (store.profile().durability, store.estimate().await.unwrap().records),
        (Durability::InMemory, 0)
    );
}

#[tokio::test]
async fn a_recording_store_keeps_the_first_calls() {
    let store = RecordingStore::new(memory(), 3);
    let (records, keys) = (records(2), Arc::from([key(7)]));
    store.insert(records.clone(), NOW).await.unwrap();
    store.purge_expired(NOW, NonZeroU32::MIN).await.unwrap();
    for _ in 0..3 {
        store.providers(Arc::clone(&keys), NOW, NonZeroU32::MIN).await.unwrap();
    }
    let limit = NonZeroU32::MIN;
    let first =
        [Asked::Insert(records), Asked::PurgeExpired { now: NOW, limit }, Asked::Providers { keys, limit }];
    assert_eq!(store.asked(), first);
    assert_eq!(store.take(), first);
    assert_eq!(store.take(), []);
}

#[tokio::test]
async fn a_counting_store_counts_rows_and_the_most_calls_at_a_time() {
    let frozen = Arc::new(FrozenStore::frozen(memory()));
    let store = CountingStore::new(Arc::clone(&frozen) as Arc<dyn ProviderStore>);
    let mut insert = store.insert(records(2), NOW);
    let mut read = store.providers(Arc::from([1, 2, 3].map(key)), NOW, NonZeroU32::MIN);
    assert!((&mut insert).now_or_never().is_none());
    assert!((&mut read).now_or_never().is_none());
    drop(read);
    frozen.thaw();
    insert.await.unwrap();
    let expected = Counted {
        statements: 2,
        inserts: 1,
        records: 2,
        records_max: 2,
        reads: 1,
        keys: 3,
        keys_max: 3,
        ended: 2,
        answered: 1,
        in_flight_max: 2,
        ..Counted::default()
    };
    assert_eq!(store.counted(), expected);
}

/// Rule S12 holds for each double, whatever it would do otherwise.
#[tokio::test]
async fn after_close_every_double_is_unavailable() {
    async fn closed<B: Behaviour>(store: Double<B>, name: &str) {
        store.close().await.unwrap();
        store.close().await.unwrap();
        let errors = [
            store.insert(records(1), NOW).await.map(drop),
            store.providers(Arc::from([key(1)]), NOW, NonZeroU32::MIN).await.map(drop),
            store.purge_expired(NOW, NonZeroU32::MIN).await.map(drop),
            store.estimate().await.map(drop),
        ];
        for result in errors {
            assert_eq!(result.unwrap_err().kind(), StoreErrorKind::Unavailable, "{name}");
        }
        assert_eq!((store.counted().after_close, store.counted().statements), (4, 0), "{name}");
    }
    let corrupt = StoreErrorKind::Corrupt;
    closed(SlowStore::delayed(memory(), Duration::MAX / 2), "slow").await;
    closed(FailingStore::new(memory(), corrupt, 1000, 1), "failing").await;
    closed(PanicsSometimes::new(memory(), 1000, 1), "panicking").await;
    closed(CommitsThenFails::new(memory(), Afterwards::Hangs), "committing").await;
    closed(StoresHalf::new(memory(), corrupt), "halving").await;
    closed(DropsSome::new(memory(), 1000, 1), "dropping").await;
    closed(RefusesRecord::new(memory(), Poison::Panics, [(key(0), peer(1))]), "refusing").await;
    closed(UnknownForSome::new(memory(), corrupt, 1000, 1), "unknowing").await;
    closed(Miscounts::new(memory(), Miscount::NoEntries), "miscounting").await;
    closed(ClaimingStore::new(memory(), memory().profile()), "claiming").await;
    closed(RecordingStore::new(memory(), 1), "recording").await;
    let frozen = FrozenStore::thawed(memory());
    frozen.close().await.unwrap();
    frozen.freeze();
    closed(frozen, "frozen").await;
}

#[tokio::test]
async fn what_waits_while_a_store_is_closed_does_not_reach_it() {
    let store = FrozenStore::thawed(memory());
    store.freeze_calls(Calls::Writes);
    let mut insert = store.insert(records(1), NOW);
    assert!((&mut insert).now_or_never().is_none());
    store.close().await.unwrap();
    store.thaw();
    assert_eq!(insert.await.unwrap_err().kind(), StoreErrorKind::Unavailable);
}

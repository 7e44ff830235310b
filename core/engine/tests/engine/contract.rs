//! Stores that fail in part, fail wholly, or break their contract: what is at fault stands alone, and nothing is lost.

use crate::doubles::{START, addresses, caller, key, memory, millis, open_store, peer, permits};
use hydra_api::{
    ContentKey, Estimate, EstimateMethod, Expiry, Found, Inserted, ProviderRecord, ProviderStore, Rung,
    StoreErrorKind, StoreProfile, UnixSeconds,
};
use hydra_conformance::doubles::{
    Afterwards, Calls, ClaimingStore, CommitsThenFails, CountingStore, DropsSome, FailingStore, Miscount,
    Miscounts, PanicsSometimes, Poison, RefusesRecord, StoresHalf, UnknownForSome,
};
use hydra_engine::{Config, Ending, Engine, Writes};
use hydra_store_memory::Memory;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

fn open(store: Arc<dyn ProviderStore>) -> Arc<Engine> {
    open_store(store, vec![], permits(4), None)
}

fn announce(engine: &Engine, numbers: std::ops::Range<u64>) {
    for number in numbers {
        engine.announce(caller(number), &key(number), || addresses(number)).unwrap();
    }
}

/// How many of the numbers the store itself knows, each with its one provider.
async fn stored(store: &Memory, numbers: std::ops::Range<u64>) -> usize {
    let mut known = 0;
    for number in numbers {
        let keys = [ContentKey::new(&key(number)).unwrap()].into();
        let found = store.providers(keys, START, NonZeroU32::MAX).await.unwrap().pop();
        known += usize::from(found.and_then(Found::known).is_some_and(|providers| providers.len() == 1));
    }
    known
}

/// How many records are in the write queue.
fn waiting(engine: &Engine) -> u32 {
    engine.stats().gauge.write_queue.used
}

/// Waits until the write queue is empty, for a minute at most.
async fn written(engine: &Engine) -> Writes {
    for _ in 0..600 {
        if waiting(engine) == 0 {
            break;
        }
        sleep(millis(100)).await;
    }
    assert_eq!(waiting(engine), 0, "all has left the queue: {:?}", engine.stats().writes);
    engine.stats().writes
}

#[tokio::test(start_paused = true)]
async fn a_record_that_spoils_its_batch_stands_alone_in_the_end() {
    for poison in [Poison::Fails(StoreErrorKind::Refused), Poison::Panics, Poison::Outcome] {
        let inner = memory();
        let bad = (ContentKey::new(&key(57)).unwrap(), peer(57));
        let store = Arc::new(RefusesRecord::new(inner.clone(), poison, [bad]));
        let engine = open(store.clone());
        announce(&engine, 0..200);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(stored(&inner, 0..200).await, 199, "{poison:?}: all but the one");
        // Halves of halves: a path down to one record, not a statement for each.
        let statements = store.counted().statements;
        assert!(statements < 40, "{poison:?}: {statements} statements");
        // What is announced later is not held up by it; and as the store takes that, the record is at fault.
        for number in 200..300 {
            announce(&engine, number..number + 1);
            sleep(millis(500)).await;
        }
        let writes = written(&engine).await;
        assert_eq!(stored(&inner, 0..300).await, 299, "{poison:?}");
        assert_eq!(
            (writes.written, writes.dropped_refused + writes.dropped_after_retries),
            (299, 1),
            "{poison:?}: {writes:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn records_on_which_the_store_panics_are_given_up_on_an_idle_node_too() {
    let purges = [Expiry::ByPurge, Expiry::ByItself];
    for (number, expiry) in [1, 2, 7].into_iter().flat_map(|number| purges.map(|expiry| (number, expiry))) {
        let inner = memory();
        let poison = (0..number).map(|number| (ContentKey::new(&key(number)).unwrap(), peer(number)));
        let store = Arc::new(RefusesRecord::new(inner.clone(), Poison::Panics, poison));
        let profile = StoreProfile::builder().expiry(expiry).build();
        let engine = open(Arc::new(ClaimingStore::new(store.clone(), profile)));
        announce(&engine, 0..number);
        let tries = number * (u64::from(Config::WRITE_RETRIES_MAX) + 1);
        for _ in 0..600 {
            sleep(Duration::from_secs(1)).await;
        }
        let (writes, inserts) = (engine.stats().writes, store.counted().inserts);
        assert_eq!((writes.dropped_after_retries, writes.written), (number, 0), "{number}: {writes:?}");
        assert!((tries..=2 * tries).contains(&inserts), "{number}: {inserts} inserts");
        assert!(engine.providers(caller(9), &key(0)).await.unwrap().providers().is_empty());
        // Nothing is left that would show the store to be well, but the node does not wait for it.
        assert_eq!((engine.health().paused, engine.rung()), (None, Rung::Full), "{number}");
        // The number of tries belongs to the record: another one is written at once.
        announce(&engine, 100..101);
        sleep(millis(600)).await;
        assert_eq!(stored(&inner, 0..101).await, 1, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn records_without_room_cost_the_others_nothing() {
    let inner = memory();
    let store = Arc::new(DropsSome::new(inner.clone(), 300, 7));
    let engine = open(store.clone());
    announce(&engine, 0..500);
    let writes = written(&engine).await;
    let has_room = stored(&inner, 0..500).await as u64;
    assert!((250..450).contains(&has_room), "{has_room}");
    assert_eq!((writes.written, writes.dropped_no_room, writes.retried), (has_room, 500 - has_room, 0));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_dropped_is_told_of_no_more() {
    let inner = memory();
    let store = Arc::new(RefusesRecord::new(inner.clone(), Poison::Outcome, []));
    let engine = open(store.clone());
    let providers = async |from: u64| {
        let reply = engine.providers(caller(from), &key(1)).await.unwrap();
        let mut found: Vec<_> = reply.providers().iter().map(|provider| provider.peer).collect();
        found.sort();
        found
    };
    let provide = |provider| engine.announce(caller(provider), &key(1), || addresses(provider)).unwrap();
    (0..3).for_each(|provider| assert_eq!(provide(provider), Ending::Served));
    written(&engine).await;
    let taken: Vec<_> = (0..3).map(peer).collect();
    assert_eq!(providers(9).await, taken);
    // Refused are one who is new, and one whom the store knows.
    for refused in [3, 1] {
        store.refuse(ContentKey::new(&key(1)).unwrap(), peer(refused));
        provide(refused);
        assert!(providers(9).await.contains(&peer(refused)), "what was taken is seen at once");
        written(&engine).await;
        assert_eq!(providers(9).await, taken, "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_half_done_or_done_and_denied_is_done_in_the_end() {
    let inner = memory();
    let half = Arc::new(StoresHalf::new(inner.clone(), StoreErrorKind::Unavailable));
    let engine = open(half.clone());
    announce(&engine, 0..300);
    sleep(millis(700)).await;
    half.set(None);
    written(&engine).await;
    assert_eq!(stored(&inner, 0..300).await, 300, "after halves");

    let inner = memory();
    let denied =
        Arc::new(CommitsThenFails::new(inner.clone(), Afterwards::Fails(StoreErrorKind::Unavailable)));
    let engine = open(denied.clone());
    announce(&engine, 0..300);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(waiting(&engine), 300, "nothing is dropped while nothing is known");
    denied.set(Afterwards::Answers);
    written(&engine).await;
    assert_eq!(stored(&inner, 0..300).await, 300, "after denials");
}

#[tokio::test(start_paused = true)]
async fn no_count_of_a_store_is_believed() {
    let inner = memory();
    let store = Arc::new(Miscounts::new(inner.clone(), Miscount::Nothing));
    let engine = open(store.clone());
    announce(&engine, 0..10);
    written(&engine).await;
    for miscount in [Miscount::TooFewEntries, Miscount::TooManyEntries, Miscount::NoEntries] {
        // An engine that has nothing in its cache.
        let engine = open(store.clone());
        store.set(miscount);
        let reply = engine.providers(caller(0), &key(3)).await.unwrap();
        assert_eq!(reply.ending, Ending::StoreFailed, "{miscount:?}");
        store.set(Miscount::Nothing);
        let reply = engine.providers(caller(0), &key(3)).await.unwrap();
        assert_eq!(reply.ending, Ending::Served, "{miscount:?} is kept of nothing");
    }
    for (miscount, providers_per_answer_max) in
        [(Miscount::TooManyProviders, 1), (Miscount::ProvidersTwice, 8)]
    {
        let engine =
            open_store(store.clone(), vec![], Config { providers_per_answer_max, ..permits(4) }, None);
        store.set(miscount);
        let reply = engine.providers(caller(0), &key(3)).await.unwrap();
        assert_eq!(reply.answer.map(|answer| answer.providers().len()), Some(1), "{miscount:?}");
    }
    for (at, miscount) in [Miscount::TooFewOutcomes, Miscount::TooManyOutcomes].into_iter().enumerate() {
        store.set(miscount);
        let numbers = (10 + 30 * at as u64)..(40 + 30 * at as u64);
        announce(&engine, numbers.clone());
        sleep(millis(600)).await;
        assert!(waiting(&engine) > 0, "{miscount:?}: who was taken is not known");
        store.set(Miscount::Nothing);
        written(&engine).await;
        assert_eq!(stored(&inner, numbers).await, 30, "{miscount:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_now_and_then_loses_nothing() {
    for seed in 0..20 {
        let inner = memory();
        let store = Arc::new(PanicsSometimes::new(inner.clone(), 300, seed));
        let engine = open(store.clone());
        announce(&engine, 0..300);
        sleep(Duration::from_secs(2)).await;
        store.set(0, Calls::All);
        let writes = written(&engine).await;
        assert_eq!((stored(&inner, 0..300).await, writes.written), (300, 300), "seed {seed}: {writes:?}");
        let dropped = writes.dropped_after_retries + writes.dropped_refused + writes.dropped_no_room;
        assert_eq!(dropped, 0, "seed {seed}: {writes:?}");
        assert_eq!(engine.stats().background.panics, 0, "a call is not a background task");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_of_which_nothing_is_known_are_not_answered_as_absent() {
    let inner = memory();
    let store = Arc::new(UnknownForSome::new(inner.clone(), StoreErrorKind::Unavailable, 500, 3));
    let record = |number| ProviderRecord {
        key: ContentKey::new(&key(number)).unwrap(),
        provider: peer(number),
        addresses: addresses(number),
        expires: UnixSeconds(START.0 + 3_600),
    };
    let records: Arc<[_]> = (0..100).map(record).collect();
    assert_eq!(inner.insert(records, START).await.unwrap(), Inserted::All);
    let engine = open(store.clone());
    for number in 0..100 {
        let reply = engine.providers(caller(0), &key(number)).await.unwrap();
        let found = reply.answer.as_ref().map_or(0, |answer| answer.providers().len());
        let unknown = store.is_unknown(&ContentKey::new(&key(number)).unwrap());
        assert_eq!((found, reply.ending == Ending::Served), (usize::from(!unknown), !unknown), "{number}");
    }
    assert!(engine.health().paused.is_none(), "a store of which a part is away is asked for the rest");
    store.set(StoreErrorKind::Unavailable, 0);
    for number in 0..100 {
        let reply = engine.providers(caller(0), &key(number)).await.unwrap();
        assert_eq!(
            reply.answer.map(|answer| answer.providers().len()),
            Some(1),
            "{number} was not kept as absent"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_at_once_is_asked_by_probes_alone() {
    let counting = Arc::new(CountingStore::new(memory()));
    let failing = Arc::new(FailingStore::new(counting, StoreErrorKind::Unavailable, 1_000, 1));
    let engine = open(failing.clone());
    let before = failing.counted().statements;
    const SECONDS: u64 = 30;
    for tick in 0..SECONDS * 100 {
        for number in 0..10 {
            let (engine, number) = (engine.clone(), tick * 10 + number);
            tokio::spawn(async move { engine.providers(caller(0), &key(number)).await.map(|_| ()) });
        }
        sleep(millis(10)).await;
    }
    // Probes come after 300 ms, less a quarter at the least, on each of the two lanes.
    let probes = 2 * SECONDS * 1_000 / 225;
    let statements = failing.counted().statements - before;
    assert!(statements <= probes + 8, "{statements} statements in {SECONDS} s");
    assert!(engine.health().paused.is_some());
    failing.set(StoreErrorKind::Unavailable, 0);
    sleep(Duration::from_secs(2)).await;
    assert!(engine.health().paused.is_none(), "it comes back by itself");
    assert_eq!(engine.providers(caller(0), &key(u64::MAX)).await.unwrap().ending, Ending::Served);
}

#[tokio::test(start_paused = true)]
async fn an_idle_node_notices_that_its_store_is_away() {
    let failing = Arc::new(FailingStore::new(memory(), StoreErrorKind::Unavailable, 0, 1));
    let engine = open(failing.clone());
    sleep(Duration::from_secs(5)).await;
    failing.set(StoreErrorKind::Unavailable, 1_000);
    sleep(Duration::from_secs(u64::from(Config::default().estimate_interval_s) + 15)).await;
    assert!(engine.health().paused.is_some_and(|pause| pause.reads), "though nobody asks");
    failing.set(StoreErrorKind::Unavailable, 0);
    sleep(Duration::from_secs(2)).await;
    assert!(engine.health().paused.is_none(), "it comes back by itself");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_overloaded_gets_fewer_permits_for_a_while() {
    let failing = Arc::new(FailingStore::new(memory(), StoreErrorKind::Overloaded, 1_000, 1));
    failing.set_calls(Calls::Reads);
    let engine = open(failing.clone());
    let permits = || engine.stats().gauge.in_flight.max;
    let before = permits();
    for number in 0..20 {
        engine.providers(caller(0), &key(number)).await.unwrap();
    }
    assert_eq!(permits(), (before / 2).max(1), "a burst halves them once");
    assert!(engine.health().paused.is_none(), "that is no outage");
    failing.set(StoreErrorKind::Overloaded, 0);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(permits(), before);
}

#[tokio::test(start_paused = true)]
async fn damage_is_told_until_the_node_is_started_again() {
    let failing = Arc::new(FailingStore::new(memory(), StoreErrorKind::Corrupt, 1_000, 1));
    let engine = open(failing.clone());
    assert_eq!(engine.health().corrupt, None);
    engine.providers(caller(0), &key(1)).await.unwrap();
    failing.set(StoreErrorKind::Corrupt, 0);
    sleep(Duration::from_secs(5)).await;
    assert!(engine.health().corrupt.is_some_and(|told| !told.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn no_claim_of_a_profile_is_believed_and_a_change_is_followed() {
    let most = NonZeroUsize::MAX;
    let absurd = StoreProfile::builder()
        .concurrency_max(most)
        .read_batch_len_max(most)
        .write_batch_len_max(most)
        .build();
    let inner = memory();
    let store = Arc::new(ClaimingStore::new(inner.clone(), absurd));
    let engine =
        open_store(store.clone(), vec![], Config { permits_max: Some(64), ..Config::default() }, None);
    store.set_estimate(Some(Estimate::new(u64::MAX, Duration::MAX, EstimateMethod::Counted)));
    announce(&engine, 0..100);
    written(&engine).await;
    assert_eq!(stored(&inner, 0..100).await, 100);
    assert_eq!(engine.stats().gauge.in_flight.max, 64);
    // A cluster that has lost all masters but one.
    let one = NonZeroUsize::MIN;
    store.set_profile(Some(StoreProfile::builder().concurrency_max(one).write_batch_len_max(one).build()));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(engine.stats().gauge.in_flight.max, 1);
    announce(&engine, 100..103);
    written(&engine).await;
    store.set_profile(Some(absurd));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(engine.stats().gauge.in_flight.max, 64);
}

/// A part of the store is away for minutes, and what comes in for the others is little.
#[tokio::test(start_paused = true)]
async fn a_part_that_is_away_neither_loses_its_records_nor_holds_up_the_others() {
    for away in [30, 300] {
        let store = Arc::new(UnknownForSome::new(memory(), StoreErrorKind::Unavailable, 333, 3));
        let engine = open(store.clone());
        let is_away = |number: &u64| store.is_unknown(&ContentKey::new(&key(*number)).unwrap());
        (0..).filter(is_away).take(away).for_each(|number| announce(&engine, number..number + 1));
        sleep(Duration::from_secs(15)).await;
        for number in (0..).filter(|number| !is_away(number)).take(300) {
            announce(&engine, number..number + 1);
            sleep(Duration::from_secs(2)).await;
        }
        let writes = engine.stats().writes;
        assert_eq!(writes.dropped_after_retries, 0, "of {away} for which the queue has room");
        let waiting = 300 - writes.written;
        assert!(waiting < 2, "{waiting} that the store would take wait beside {away} others");
    }
}

/// Records of a part that is away fill the queue, and give way to others until they have half of it; no others are dropped.
#[tokio::test(start_paused = true)]
async fn a_part_that_is_away_for_long_keeps_half_of_a_full_queue_and_holds_up_no_others() {
    let inner = memory();
    let store = Arc::new(UnknownForSome::new(inner.clone(), StoreErrorKind::Unavailable, 333, 3));
    let config = Config { write_queue_len_max: 1_000, window_len_max: 200, ..permits(4) };
    let engine = open_store(store.clone(), vec![], config, None);
    let is_away = |number: &u64| store.is_unknown(&ContentKey::new(&key(*number)).unwrap());
    let (mut accepted, mut minutes) = (Vec::new(), Vec::new());
    for number in 0..12_000 {
        match engine.announce(caller(number), &key(number), || addresses(number)).unwrap() {
            Ending::Served => accepted.push(number),
            other => panic!("{number}: {other:?}"),
        }
        sleep(millis(50)).await;
        if number % 1_200 == 1_199 {
            minutes.push(engine.stats().writes.written);
        }
    }
    assert_eq!(engine.write_rung(), Rung::Full, "the queue has room for what comes");
    let growth: Vec<u64> = minutes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(growth.iter().all(|written| (750..850).contains(written)), "by the minute: {growth:?}");
    sleep(Duration::from_secs(3_600)).await;
    let others = accepted.iter().filter(|number| !is_away(number)).count() as u64;
    let stats = engine.stats();
    let (writes, kept) = (stats.writes, u64::from(stats.gauge.write_queue_away));
    assert_eq!((writes.written, writes.dropped_queue_full, writes.dropped_after_retries), (others, 0, 0));
    assert!((900..=1_000).contains(&kept) && writes.dropped_part_away == 12_000 - others - kept, "{stats:?}");
    // Reads see what is kept, and nothing of what is not.
    let mut seen = 0;
    for number in (0..12_000).filter(is_away) {
        seen += engine.providers(caller(99), &key(number)).await.unwrap().providers().len() as u64;
    }
    assert_eq!(seen, kept);
    store.set(StoreErrorKind::Unavailable, 0);
    let writes = written(&engine).await;
    assert_eq!(writes.written, others + kept, "{writes:?}");
    assert_eq!(stored(&inner, 0..12_000).await as u64, others + kept);
}

/// The others fill more than the half of the queue that is theirs: those are refused, and of the part that is away half a queue stays.
#[tokio::test(start_paused = true)]
async fn a_part_that_is_away_keeps_its_half_when_there_is_too_much_of_all() {
    let store = Arc::new(UnknownForSome::new(memory(), StoreErrorKind::Unavailable, 333, 3));
    let config = Config { write_queue_len_max: 1_000, window_len_max: 40, ..permits(4) };
    let engine = open_store(store.clone(), vec![], config, None);
    for number in 0..30_000 {
        _ = engine.announce(caller(number), &key(number), || addresses(number)).unwrap();
        sleep(millis(1)).await;
    }
    let stats = engine.stats();
    let away = stats.gauge.write_queue_away;
    assert!((490..600).contains(&away) && stats.writes.dropped_queue_full > 0, "{stats:?}");
    // The pace is 400 records a second, a quarter of them once more of those that are away.
    assert!(stats.writes.written > 4_000, "{:?}", stats.writes);
}

/// A record that a part of the store refuses, or that nobody could read any more, does not wait for that part for ever.
#[tokio::test(start_paused = true)]
async fn a_record_of_a_part_waits_as_long_as_it_is_worth_something() {
    let store = Arc::new(UnknownForSome::new(memory(), StoreErrorKind::Unavailable, 333, 3));
    let engine = open_store(store.clone(), vec![], Config { record_ttl_hours: 1, ..permits(4) }, None);
    let away = |from: u64| {
        (from..).find(|number| store.is_unknown(&ContentKey::new(&key(*number)).unwrap())).unwrap()
    };
    let (first, second) = (away(0), away(100));
    announce(&engine, first..first + 1);
    sleep(Duration::from_secs(3_500)).await;
    assert_eq!((waiting(&engine), engine.stats().writes.dropped_after_retries), (1, 0));
    sleep(Duration::from_secs(200)).await;
    assert_eq!((waiting(&engine), engine.stats().writes.dropped_after_retries), (0, 1));
    store.set(StoreErrorKind::Refused, 333);
    announce(&engine, second..second + 1);
    sleep(Duration::from_secs(120)).await;
    assert_eq!((waiting(&engine), engine.stats().writes.dropped_refused), (0, 1));
}

/// The parts of a store that was away as a whole do not come back together.
#[tokio::test(start_paused = true)]
async fn a_part_that_comes_back_after_the_others_loses_nothing_of_a_full_queue() {
    let store = Arc::new(UnknownForSome::new(memory(), StoreErrorKind::Unavailable, 1_000, 3));
    let config = Config { write_queue_len_max: 1_000, window_len_max: 200, ..permits(4) };
    let engine = open_store(store.clone(), vec![], config, None);
    announce(&engine, 0..800);
    sleep(Duration::from_secs(300)).await;
    assert!(engine.health().paused.is_some());
    store.set(StoreErrorKind::Unavailable, 900);
    sleep(Duration::from_secs(2)).await;
    let writes = engine.stats().writes;
    assert!(writes.written > 0 && writes.dropped_after_retries == 0, "{writes:?}");
    store.set(StoreErrorKind::Unavailable, 0);
    let writes = written(&engine).await;
    assert_eq!((writes.written, writes.dropped_after_retries), (800, 0), "{writes:?}");
}

/// Records of which the store can say nothing are tried until the time is over, with pauses.
#[tokio::test(start_paused = true)]
async fn a_close_does_not_hammer_on_a_part_that_is_away() {
    let store = Arc::new(UnknownForSome::new(memory(), StoreErrorKind::Unavailable, 900, 3));
    let engine = open(store);
    announce(&engine, 0..300);
    sleep(Duration::from_secs(1)).await;
    let before = engine.stats().writes.windows;
    let _unwritten = engine.close(Duration::from_secs(4)).await;
    let windows = engine.stats().writes.windows - before;
    assert!((2..=40).contains(&windows), "{windows} windows in four seconds");
}

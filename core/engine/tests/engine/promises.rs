//! Promises that faults in between must not break: what hangs, fails by halves, comes late or in another order.

use crate::doubles::{
    FAILS, Ledger, Mood, START, Store, addresses, caller, key, millis, open, peer, permits,
};
use hydra_api::{PeerId, Rung, StoreErrorKind, Verdict};
use hydra_engine::{Clock, Config, Ending, Engine};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const DAY: u64 = 86_400;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ask(engine: &Arc<Engine>, number: u64) {
    let engine = engine.clone();
    tokio::spawn(async move { engine.providers(caller(99), &key(number)).await });
}

/// One moment in which a store says "overloaded" must not cost a minute.
#[tokio::test(start_paused = true)]
async fn permits_are_back_ten_seconds_after_an_overload() {
    let store = Store::new(64, 1);
    let engine = open(&store, vec![], permits(64));
    sleep(seconds(1)).await;
    assert_eq!(engine.load().in_flight.max, 64);
    store.set_reads(Mood::Fails(StoreErrorKind::Overloaded));
    (0..16).for_each(|number| ask(&engine, number));
    sleep(millis(50)).await;
    let at_once = engine.load().in_flight.max;
    store.set(Mood::Takes(millis(1)));
    sleep(seconds(10)).await;
    let later = engine.load().in_flight.max;
    assert!(at_once >= 16 && later >= 60, "{at_once} at once, {later} after ten seconds");
}

/// One read that hangs takes one permit of four, not the answers of a quiet node.
#[tokio::test(start_paused = true)]
async fn a_quiet_node_with_one_hanging_read_still_answers() {
    let store = Store::new(4, 1);
    let engine = open(&store, vec![], permits(4));
    store.set_reads(Mood::Takes(seconds(10_000_000)));
    ask(&engine, 0);
    sleep(millis(50)).await;
    store.set_reads(Mood::Takes(millis(1)));
    let running = store.running();
    let (mut served, mut not) = (0, 0);
    for number in 1..100 {
        sleep(seconds(2)).await;
        let reply = engine.providers(caller(99), &key(number)).await.unwrap();
        *(if reply.ending == Ending::Served { &mut served } else { &mut not }) += 1;
    }
    assert!(not < 10, "{not} not answered, {served} answered, {running} hang, rung {}", engine.read_rung());
}

/// The freshest announcements are those that an answer keeps.
#[tokio::test(start_paused = true)]
async fn an_announcement_while_a_flight_waits_hides_no_fresher_one() {
    let store = Store::new(1, 256);
    let config = Config { providers_per_answer_max: 2, flush_interval_ms: 60_000, ..permits(1) };
    let engine = open(&store, vec![], Config { flush_interval_min_ms: 60_000, ..config });
    sleep(millis(10)).await;
    for provider in 1..=2 {
        engine.announce(caller(provider), &key(1), || addresses(provider)).unwrap();
        sleep(millis(1_000)).await;
    }
    store.set_reads(Mood::Takes(millis(200)));
    let reading = tokio::spawn({
        let engine = engine.clone();
        async move { engine.providers(caller(0), &key(1)).await.unwrap() }
    });
    sleep(millis(50)).await;
    engine.announce(caller(3), &key(1), || addresses(3)).unwrap();
    let found = reading.await.unwrap();
    let mut peers: Vec<PeerId> = found.providers().iter().map(|provider| provider.peer).collect();
    peers.sort();
    assert_eq!(peers, [peer(2), peer(3)], "{:?} {:?}", found.ending, found.source);
}

/// A full read that follows a shorter one before it departs sees what waits in the queue.
#[tokio::test(start_paused = true)]
async fn a_full_read_that_widens_a_flight_sees_all_that_was_taken() {
    let first = Arc::new(AtomicUsize::new(0));
    let asked = first.clone();
    let degrades = Ledger::new(move |request, _| {
        let is_read = request.operation == hydra_api::Operation::GetProviders;
        let is_first = is_read && request.key == key(1) && asked.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first { Verdict::Degrade(Rung::Short) } else { Verdict::Admit }
    });
    let store = Store::new(1, 256);
    let config = Config { flush_interval_ms: 5_000, flush_interval_min_ms: 5_000, ..permits(1) };
    let engine = open(&store, vec![degrades.named("degrades")], Config { waiting_ms_max: 200, ..config });
    sleep(millis(10)).await;
    for provider in 1..=100 {
        assert_eq!(engine.announce(caller(provider), &key(1), || addresses(provider)), Ok(Ending::Served));
    }
    // The only permit is in use.
    store.set_reads(Mood::Takes(millis(50)));
    ask(&engine, 2);
    sleep(millis(5)).await;
    ask(&engine, 1);
    sleep(millis(5)).await;
    let full = engine.providers(caller(0), &key(1)).await.unwrap();
    assert_eq!((full.ending, full.rung), (Ending::Served, Rung::Full));
    assert_eq!(full.providers().len(), 100);
}

/// A degraded answer costs no more than a full one: what the caller made of it is kept, too.
#[tokio::test(start_paused = true)]
async fn a_hit_is_rendered_at_most_twice_a_short_one_too() {
    let short = Arc::new(AtomicUsize::new(0));
    let is_short = short.clone();
    let degrades = Ledger::new(move |_, _| match is_short.load(Ordering::Relaxed) {
        0 => Verdict::Admit,
        _ => Verdict::Degrade(Rung::Short),
    });
    let store = Store::new(4, 256);
    let engine = open(&store, vec![degrades.named("degrades")], permits(4));
    for provider in 1..=128 {
        engine.announce(caller(provider), &key(1), || addresses(provider)).unwrap();
    }
    sleep(seconds(2)).await;
    let renders = AtomicUsize::new(0);
    let hit = async || {
        let reply = engine.providers(caller(0), &key(1)).await.unwrap();
        reply.answer.unwrap().rendered(|_| renders.fetch_add(1, Ordering::Relaxed));
        reply.rung
    };
    for _ in 0..10 {
        assert_eq!(hit().await, Rung::Full);
    }
    assert_eq!(renders.swap(0, Ordering::Relaxed), 2, "full hits");
    short.store(1, Ordering::Relaxed);
    for _ in 0..10 {
        assert_eq!(hit().await, Rung::Short);
    }
    assert!(renders.load(Ordering::Relaxed) <= 2, "{renders:?} renderings of ten short hits");
}

/// A wall clock that jumps ahead removes nothing, whoever looks at a row.
#[tokio::test(start_paused = true)]
async fn an_insert_while_the_clock_is_far_ahead_removes_no_record() {
    let store = Store::new(4, 256);
    let (begun, ahead) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let jumped = ahead.clone();
    let clock = Clock::with_wall(move || {
        seconds(u64::from(START.0) + jumped.load(Ordering::Relaxed)) + begun.elapsed()
    });
    let engine = Engine::open(store.named(), Vec::new(), permits(4), clock, None);
    engine.announce(caller(1), &key(1), || addresses(1)).unwrap();
    sleep(seconds(2)).await;
    ahead.store(10 * DAY, Ordering::Relaxed);
    sleep(seconds(2)).await;
    engine.announce(caller(2), &key(1), || addresses(2)).unwrap();
    sleep(seconds(2)).await;
    ahead.store(0, Ordering::Relaxed);
    sleep(seconds(60)).await;
    let found = engine.providers(caller(0), &key(1)).await.unwrap();
    assert_eq!(found.providers().len(), 2);
}

/// How often calls were paused.
fn pauses(engine: &Engine) -> u64 {
    engine.stats().lanes.iter().map(|lane| lane.pauses).sum()
}

/// A breaker closes when the calls that it paused succeed, not when others do.
#[tokio::test(start_paused = true)]
async fn reads_that_always_fail_do_not_make_the_store_available_again_and_again() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    store.set_reads(FAILS);
    for number in 0..600 {
        sleep(millis(500)).await;
        ask(&engine, number);
    }
    let opened = pauses(&engine);
    assert!(opened <= 2, "the breaker opened {opened} times in five minutes of failure");
}

/// A read that panics has failed: reads are probed by it, not by an estimate.
#[tokio::test(start_paused = true)]
async fn reads_that_always_panic_do_not_make_the_store_available_again_and_again() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    store.set_reads(Mood::Panics);
    for number in 0..600 {
        sleep(millis(500)).await;
        ask(&engine, number);
    }
    let opened = pauses(&engine);
    assert!(opened <= 2, "the breaker opened {opened} times in five minutes of panics");
}

/// Records that wait are written soon after the store is back, however long it was away.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_back_is_written_to_within_a_few_probes() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    store.set(FAILS);
    for number in 0..10 {
        engine.announce(caller(1), &key(number), || addresses(1)).unwrap();
    }
    let mut worst = Duration::ZERO;
    let (mut tries, mut last) = (store.batches().len(), Instant::now());
    for _ in 0..1_200 {
        sleep(millis(50)).await;
        if store.batches().len() > tries {
            (tries, last) = (store.batches().len(), Instant::now());
        }
        worst = worst.max(last.elapsed());
    }
    assert!(worst <= seconds(1), "{worst:?} between two probes by writes, rung {}", engine.write_rung());
}

/// Each lane is probed at the pace that the store asked for.
#[tokio::test(start_paused = true)]
async fn a_lane_is_not_probed_before_the_pause_that_the_store_asked_for() {
    use hydra_conformance::doubles::{Calls, FailingStore};
    let memory = crate::doubles::memory();
    let reads = Arc::new(FailingStore::new(memory, StoreErrorKind::Unavailable, 1_000, 1));
    reads.set_calls(Calls::Reads);
    reads.set_retry_after(Some(seconds(20)));
    let writes = Arc::new(FailingStore::new(reads.clone(), StoreErrorKind::Unavailable, 1_000, 1));
    writes.set_calls(Calls::Writes);
    let engine = crate::doubles::open_store(writes.clone(), vec![], permits(4), None);
    for number in 0..600 {
        engine.announce(caller(1), &key(number), || addresses(1)).unwrap();
        ask(&engine, 10_000 + number);
        sleep(millis(100)).await;
    }
    let counted = reads.counted();
    let read = engine.stats().reads.statements;
    assert!(read <= 3 + 4 + 6, "{read} reads in a minute though pauses of 20 s are asked for: {counted:?}");
}

/// Closes while writes are frozen, and lets them fail when the time for the queue is over.
async fn is_closed_although_they_fail(store: &Store, engine: Arc<Engine>) {
    let closing = tokio::spawn(async move { engine.close(seconds(8)).await });
    sleep(millis(6_100)).await;
    store.set_writes(FAILS);
    let report = closing.await.unwrap();
    assert!(store.is_closed(), "{report:?}");
    // A quarter of the eight seconds is kept for the calls under way and the close.
    assert!((millis(6_000)..millis(6_100)).contains(&report.writing), "{report:?}");
}

/// A store that fails the calls under way while the engine closes is closed all the same.
#[tokio::test(start_paused = true)]
async fn a_store_that_fails_its_last_calls_is_closed() {
    let store = Store::new(4, 1);
    let engine = open(&store, vec![], permits(4));
    store.set_writes(Mood::Frozen);
    for number in 0..8 {
        engine.announce(caller(1), &key(number), || addresses(1)).unwrap();
    }
    sleep(seconds(1)).await;
    assert_eq!(store.running(), 3, "one permit is kept for reads");
    is_closed_although_they_fail(&store, engine).await;
}

/// With one permit, the failure of a call under way must not keep the store's own close from it.
#[tokio::test(start_paused = true)]
async fn a_store_with_one_permit_that_fails_its_last_call_is_closed() {
    let store = Store::new(1, 1);
    let mut config = permits(1);
    config.breaker.failures = 1;
    let engine = open(&store, vec![], config);
    sleep(seconds(1)).await;
    store.set_writes(Mood::Frozen);
    engine.announce(caller(1), &key(1), || addresses(1)).unwrap();
    sleep(seconds(1)).await;
    assert_eq!(store.running(), 1);
    is_closed_although_they_fail(&store, engine).await;
}

/// A part of the store that is damaged, and only says so for single keys, is damage all the same.
#[tokio::test(start_paused = true)]
async fn a_part_that_is_corrupt_fails_the_health_of_the_node() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    store.forget_half_as(StoreErrorKind::Corrupt);
    (0..100).for_each(|number| ask(&engine, number));
    sleep(seconds(1)).await;
    assert!(engine.health().corrupt.is_some());
}

/// A rung that the config switches off is not entered.
#[tokio::test(start_paused = true)]
async fn writes_do_not_enter_a_rung_that_is_switched_off() {
    let store = Store::new(4, 256);
    let mut config = permits(4);
    config.stale.enabled = false;
    let engine = open(&store, vec![], config);
    store.set_reads(Mood::Frozen);
    (0..2_000).for_each(|number| ask(&engine, number));
    sleep(seconds(3)).await;
    assert_ne!(engine.write_rung(), Rung::Stale);
}

/// After failures at irregular times, too, reads are back on the full rung ten seconds after the last.
#[tokio::test(start_paused = true)]
async fn a_store_that_failed_at_irregular_times_is_used_in_full_ten_seconds_after() {
    let store = Store::new(4, 256);
    let engine = open(&store, vec![], permits(4));
    let load = tokio::spawn({
        let engine = engine.clone();
        async move {
            for number in 0.. {
                ask(&engine, number);
                sleep(millis(10)).await;
            }
        }
    });
    for up in [20, 6, 6, 6, 10] {
        store.set(Mood::Takes(millis(1)));
        sleep(seconds(up)).await;
        store.set(FAILS);
        sleep(seconds(1)).await;
    }
    store.set(Mood::Takes(millis(1)));
    let since = Instant::now();
    while engine.read_rung() != Rung::Full {
        sleep(millis(100)).await;
    }
    load.abort();
    assert!(since.elapsed() <= seconds(10), "{:?}", since.elapsed());
}

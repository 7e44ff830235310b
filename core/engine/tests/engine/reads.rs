//! Reads: the gate, its line, the soft deadline, failures.

use crate::doubles::{FAILS, Mood, Store, addresses, caller, key, millis, open, permits};
use hydra_api::{Operation, Rung, StoreErrorKind};
use hydra_engine::{Config, Ending, Engine, Source, StoreCall};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tokio::time::{Instant, sleep};

async fn ended(engine: &Engine, number: u64) -> Ending {
    engine.providers(caller(0), &key(number)).await.unwrap().ending
}

/// A read in its own task, which has come as far as it can when this returns.
async fn begin(engine: &Arc<Engine>, number: u64) -> tokio::task::JoinHandle<Ending> {
    let engine = engine.clone();
    let read = tokio::spawn(async move { ended(&engine, number).await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    read
}

#[tokio::test(start_paused = true)]
async fn what_was_announced_is_found_with_its_addresses() {
    let store = Store::new(8, 256);
    let engine = open(&store, vec![], permits(3));
    engine.announce(caller(1), &key(1), || addresses(7)).unwrap();
    sleep(millis(600)).await;
    let found = engine.providers(caller(2), &key(1)).await.unwrap();
    assert_eq!((found.ending, found.rung), (Ending::Served, Rung::Full));
    assert_eq!(found.providers().len(), 1);
    assert_eq!(found.providers()[0].peer, caller(1).peer);
    assert_eq!(found.providers()[0].addresses, addresses(7));
}

#[tokio::test(start_paused = true)]
async fn at_the_soft_deadline_the_client_is_answered_and_the_statement_keeps_its_permit() {
    let store = Store::new(8, 256);
    let engine = open(&store, vec![], permits(1));
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(400)));
    let begun = Instant::now();
    assert_eq!(ended(&engine, 1).await, Ending::Late);
    assert_eq!(begun.elapsed(), millis(250));
    assert_eq!((engine.load().in_flight.used, store.running()), (1, 1), "the statement goes on");
    assert_eq!(ended(&engine, 2).await, Ending::NoPermit);
    assert_eq!(begun.elapsed(), millis(270), "it waited no longer than it may");
    sleep(millis(140)).await;
    assert_eq!(
        (engine.load().in_flight.used, store.running()),
        (1, 1),
        "the key that was denied is read now"
    );
    sleep(millis(400)).await;
    assert_eq!((engine.load().in_flight.used, store.running()), (0, 0), "both calls have ended");
    assert_eq!(engine.providers(caller(0), &key(2)).await.unwrap().source, Source::Cache);
    assert_eq!(engine.stats().requests(Operation::GetProviders, Ending::Late), 1);
    assert_eq!(engine.stats().requests(Operation::GetProviders, Ending::NoPermit), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_leaves_the_statement_and_its_permit_alone() {
    let store = Store::new(8, 256);
    let engine = open(&store, vec![], permits(1));
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(100)));
    begin(&engine, 1).await.abort();
    sleep(millis(50)).await;
    assert_eq!((engine.load().in_flight.used, store.running()), (1, 1));
    assert_eq!(engine.stats().requests(Operation::GetProviders, Ending::Abandoned), 1);
    sleep(millis(60)).await;
    assert_eq!((engine.load().in_flight.used, store.running()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn permits_are_never_more_than_the_store_can_serve() {
    let store = Store::new(2, 256);
    let engine = open(&store, vec![], permits(100));
    assert_eq!(engine.load().in_flight.max, 2);
    let by_default = open(&Store::new(10_000, 256), vec![], Config::default());
    let cores = std::thread::available_parallelism().unwrap().get() as u32;
    assert_eq!(by_default.load().in_flight.max, 2 * cores + 1);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_calls_at_a_time_follows_the_profile_of_the_store() {
    let store = Store::new(4, 1);
    let engine = open(&store, vec![], permits(100));
    store.set(Mood::Takes(millis(200)));
    let mut next = 0;
    for calls in [4, 1, 7, 2] {
        store.claim(calls, 1);
        // Calls that run when the limit falls are not broken off.
        sleep(millis(500)).await;
        for _ in 0..20 {
            next += 1;
            begin(&engine, next).await;
        }
        assert_eq!((store.running(), engine.load().in_flight.max), (calls as u64, calls as u32));
        sleep(Duration::from_secs(10)).await;
        assert_eq!(store.running(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_falls_breaks_nothing_off_and_starts_nothing_until_there_is_room() {
    let store = Store::new(4, 1);
    let engine = open(&store, vec![], permits(100));
    store.set(Mood::Takes(millis(800)));
    for number in 0..20 {
        begin(&engine, number).await;
    }
    assert_eq!(store.running(), 4);
    store.claim(1, 1);
    sleep(millis(300)).await;
    assert_eq!((store.running(), engine.load().in_flight.used, engine.load().in_flight.max), (4, 4, 1));
    sleep(millis(600)).await;
    assert_eq!(store.running(), 1, "the four have ended, and one has begun");
    store.claim(3, 1);
    sleep(millis(200)).await;
    assert_eq!(store.running(), 3, "without a call that had to end first");
}

#[tokio::test(start_paused = true)]
async fn permits_that_come_back_after_an_overload_go_to_the_reads_that_wait() {
    let store = Store::new(4, 1);
    let engine = open(&store, vec![], permits(4));
    store.set_reads(Mood::Fails(StoreErrorKind::Overloaded));
    assert_eq!(ended(&engine, 0).await, Ending::StoreFailed);
    assert_eq!(engine.load().in_flight.max, 2);
    store.set_reads(Mood::Takes(millis(900)));
    for number in 1..100 {
        begin(&engine, number).await;
        sleep(millis(50)).await;
    }
    assert_eq!((engine.load().in_flight.max, store.running()), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn the_newest_read_in_line_is_served_first() {
    let store = Store::new(1, 256);
    let engine = open(&store, vec![], permits(1));
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(5)));
    let mut reads = Vec::new();
    for number in 1..=4 {
        reads.push(begin(&engine, number).await);
    }
    for read in reads {
        assert_eq!(read.await.unwrap(), Ending::Served);
    }
    let order: Vec<_> = store.reads().iter().map(|key| key.as_bytes().to_vec()).collect();
    assert_eq!(order, [key(1), key(4), key(3), key(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_full_line_turns_the_oldest_away_at_once() {
    let store = Store::new(1, 256);
    let engine = open(&store, vec![], Config { waiting_len_max: 2, ..permits(1) });
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(5)));
    let begun = Instant::now();
    let mut reads = Vec::new();
    for number in 1..=4 {
        reads.push(begin(&engine, number).await);
        assert!(engine.load().waiting.used <= 2);
    }
    let second = reads.remove(1);
    assert_eq!(second.await.unwrap(), Ending::NoPermit);
    assert_eq!(begun.elapsed(), Duration::ZERO, "it did not wait for nothing");
    assert_eq!(engine.stats().gauge.evicted, 1);
    for read in reads {
        assert_eq!(read.await.unwrap(), Ending::Served);
    }
    assert_eq!(engine.load().waiting.used, 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_line_turns_the_oldest_away_also_when_no_call_can_take_more_keys() {
    let store = Store::new(1, 1);
    let engine = open(&store, vec![], Config { waiting_len_max: 2, ..permits(1) });
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(5)));
    let mut reads = Vec::new();
    for number in 1..=4 {
        reads.push(begin(&engine, number).await);
    }
    let mut endings = Vec::new();
    for read in reads {
        endings.push(read.await.unwrap());
    }
    assert_eq!(endings, [Ending::Served, Ending::NoPermit, Ending::Served, Ending::Served]);
    let stats = engine.stats();
    assert_eq!((stats.gauge.evicted, stats.reads.wanted, stats.reads.denied), (1, 4, 1));
}

#[tokio::test(start_paused = true)]
async fn v15_a_store_that_fails_or_panics_costs_the_answer_its_providers_only() {
    for mood in [FAILS, Mood::Panics] {
        let store = Store::new(2, 256);
        let engine = open(&store, vec![], permits(2));
        sleep(millis(10)).await;
        store.set(mood);
        for number in 0..10 {
            let found = engine.providers(caller(0), &key(number)).await.unwrap();
            assert_eq!((found.ending, found.providers().len()), (Ending::StoreFailed, 0));
        }
        let stats = engine.stats();
        assert_eq!(stats.requests(Operation::GetProviders, Ending::StoreFailed), 10);
        assert_eq!(
            stats.failures(StoreCall::Providers),
            3,
            "then the store is left alone: {:?}",
            stats.failures
        );
        assert_eq!((stats.statements.failed, stats.gauge.in_flight.used), (3, 0), "permits came back");
        store.set(Mood::Takes(Duration::ZERO));
        sleep(millis(3_000)).await;
        assert_eq!(ended(&engine, 1).await, Ending::Served, "a probe has found that it answers again");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_holds_no_more_providers_than_the_config_says() {
    let store = Store::new(2, 4_096);
    let config = Config { providers_per_answer_max: 5, ..Config::default() };
    let engine = open(&store, vec![], config);
    for provider in 0..20 {
        engine.announce(caller(provider), &key(1), || addresses(provider)).unwrap();
    }
    sleep(millis(600)).await;
    let found = engine.providers(caller(0), &key(1)).await.unwrap();
    assert_eq!(found.providers().len(), 5);
    assert_eq!(store.limits().last(), Some(&5), "the store was asked for no more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn permits_hold_with_many_threads() {
    let store = Store::new(3, 256);
    let engine = open(&store, vec![], permits(3));
    let client = |number: u64| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for round in 0..500 {
                ended(&engine, number * 1_000 + round).await;
            }
        })
    };
    for client in (0..16).map(client).collect::<Vec<_>>() {
        client.await.unwrap();
    }
    assert!(store.running_max() <= 3, "{} at a time", store.running_max());
    assert!(engine.close(Duration::from_secs(60)).await.is_clean());
}

/// What an engine does at the moment at which an answer is handed out.
struct AtAnswer {
    engine: Arc<Engine>,
    statements: AtomicU64,
    in_flight: AtomicU64,
}

impl Wake for AtAnswer {
    fn wake(self: Arc<Self>) {
        self.statements.store(self.engine.stats().reads.statements, Ordering::Relaxed);
        self.in_flight.store(self.engine.load().in_flight.used.into(), Ordering::Relaxed);
    }
}

/// Answers may be many and long: the next call is not held up until all are handed out.
#[tokio::test(start_paused = true)]
async fn the_next_call_is_under_way_before_the_answers_of_the_one_before_are_handed_out() {
    for mood in [Mood::Takes(millis(10)), FAILS, Mood::Panics] {
        let store = Store::new(1, 1);
        let engine = open(&store, vec![], permits(1));
        sleep(millis(10)).await;
        store.set_reads(Mood::Frozen);
        let at_answer = Arc::new(AtAnswer {
            engine: engine.clone(),
            statements: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
        });
        let key = key(1);
        let mut read = pin!(engine.providers(caller(0), &key));
        let waker = Waker::from(at_answer.clone());
        let mut context = Context::from_waker(&waker);
        assert!(read.as_mut().poll(&mut context).is_pending());
        let next = begin(&engine, 2).await;
        assert_eq!((engine.stats().reads.statements, engine.load().waiting.used), (1, 1), "one waits");
        store.set_reads(mood);
        while at_answer.statements.load(Ordering::Relaxed) == 0 {
            sleep(millis(1)).await;
        }
        let seen =
            (at_answer.statements.load(Ordering::Relaxed), at_answer.in_flight.load(Ordering::Relaxed));
        assert_eq!(seen, (2, 1), "{mood:?}: calls, and of them under way, when the first is answered");
        assert!(read.as_mut().poll(&mut context).is_ready());
        next.await.unwrap();
    }
}

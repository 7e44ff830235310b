//! Reads on the rung stale: which of them wait, and for what.

use crate::doubles::{Ledger, Mood, Store, caller, key, millis, open, permits};
use hydra_api::{Rung, Verdict};
use hydra_engine::{Ending, Engine, Source};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// How a read ended, and how long that took.
type Ended = (Ending, Source, Duration);

async fn read(engine: &Engine, number: u64) -> Ended {
    let begun = Instant::now();
    let reply = engine.providers(caller(0), &key(number)).await.unwrap();
    (reply.ending, reply.source, begun.elapsed())
}

/// A read in its own task, which has come as far as it can when this returns.
async fn begin(engine: &Arc<Engine>, number: u64) -> JoinHandle<Ended> {
    let engine = engine.clone();
    let read = tokio::spawn(async move { read(&engine, number).await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    read
}

/// An engine that serves all on the rung stale, over a store that does so many calls of so many keys, and this long each.
async fn stale(permits_max: u32, keys_per_call: usize, takes: Duration) -> (Arc<Store>, Arc<Engine>) {
    let stale = Ledger::new(|_, _| Verdict::Degrade(Rung::Stale));
    let store = Store::new(permits_max as usize, keys_per_call);
    let engine = open(&store, vec![stale.named("stale")], permits(permits_max));
    sleep(millis(10)).await;
    store.set_reads(Mood::Takes(takes));
    (store, engine)
}

/// A read that the store can make at once costs nobody anything, however long no call has departed.
#[tokio::test(start_paused = true)]
async fn an_idle_store_is_read_on_the_rung_stale_too() {
    let (store, engine) = stale(2, 4, millis(30)).await;
    for number in 0..10 {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(read(&engine, number).await, (Ending::Served, Source::Store, millis(30)));
    }
    // When both permits are in use the others are answered at once again.
    sleep(Duration::from_secs(1)).await;
    let running = [begin(&engine, 100).await, begin(&engine, 101).await];
    sleep(millis(25)).await;
    assert_eq!(read(&engine, 102).await, (Ending::NoPermit, Source::Nothing, Duration::ZERO));
    for running in running {
        assert_eq!(running.await.unwrap().0, Ending::Served);
    }
    assert!(store.running_max() <= 2);
}

/// What a request without a place has left in line is read by the next one's time that has a place.
#[tokio::test(start_paused = true)]
async fn a_key_that_was_left_in_line_shuts_out_no_later_request() {
    let (store, engine) = stale(1, 4, millis(60)).await;
    let begun = Instant::now();
    let running = begin(&engine, 0).await;
    sleep_until(begun + millis(30)).await;
    for number in 1..=12 {
        assert_eq!(read(&engine, number).await.0, Ending::NoPermit, "no call departs soon");
    }
    store.set_reads(Mood::Takes(millis(10)));
    assert_eq!(running.await.unwrap().0, Ending::Served);
    sleep(millis(1)).await;
    // The newest four have departed; there are places for as many in the call after that.
    let (left, followed) = (begin(&engine, 1).await, begin(&engine, 1).await);
    assert_eq!(left.await.unwrap(), (Ending::Served, Source::Shared, millis(19)));
    assert_eq!(followed.await.unwrap(), (Ending::Served, Source::Shared, millis(19)));
    let read = store.reads().iter().filter(|read| read.as_bytes() == key(1)).count();
    assert_eq!(read, 1);
}

/// A client that goes away takes its place along.
#[tokio::test(start_paused = true)]
async fn requests_that_have_gone_hold_no_places() {
    let (_store, engine) = stale(1, 4, millis(15)).await;
    let running = begin(&engine, 0).await;
    let waiting = [1, 2, 3, 4].map(|number| begin(&engine, number));
    let waiting = futures::future::join_all(waiting).await;
    assert_eq!(read(&engine, 5).await, (Ending::NoPermit, Source::Nothing, Duration::ZERO), "all are taken");
    waiting.iter().for_each(JoinHandle::abort);
    for read in waiting {
        assert!(read.await.is_err());
    }
    let later = [6, 7, 8, 9].map(|number| begin(&engine, number));
    for read in futures::future::join_all(later).await {
        assert_eq!(read.await.unwrap(), (Ending::Served, Source::Store, millis(30)));
    }
    assert_eq!(running.await.unwrap().0, Ending::Served);
}

/// The one who began a flight may go, and others wait for it still.
#[tokio::test(start_paused = true)]
async fn a_place_is_held_until_the_last_request_for_it_has_gone() {
    let (_store, engine) = stale(1, 2, millis(15)).await;
    let running = begin(&engine, 0).await;
    let (leader, follower) = (begin(&engine, 1).await, begin(&engine, 1).await);
    leader.abort();
    assert!(leader.await.is_err());
    let second = begin(&engine, 2).await;
    assert_eq!(read(&engine, 3).await.0, Ending::NoPermit, "both places are in use");
    assert_eq!(second.await.unwrap(), (Ending::Served, Source::Store, millis(30)));
    assert_eq!(follower.await.unwrap(), (Ending::Served, Source::Shared, millis(30)));
    assert_eq!(running.await.unwrap().0, Ending::Served);
}

/// The line goes by the clock of the engine alone, which here has stood still while the system's went on.
#[tokio::test(start_paused = true)]
async fn places_end_by_the_clock_of_the_engine() {
    std::thread::sleep(millis(100));
    let (_store, engine) = stale(1, 4, millis(60)).await;
    let running = begin(&engine, 0).await;
    sleep(millis(30)).await;
    assert_eq!(read(&engine, 1).await, (Ending::NoPermit, Source::Nothing, Duration::ZERO));
    assert_eq!(running.await.unwrap().0, Ending::Served);
}

/// With calls that depart one after the other, the newest would always overtake those that came before them.
#[tokio::test(start_paused = true)]
async fn few_of_those_that_wait_do_so_in_vain_under_many_times_the_load() {
    let (_store, engine) = stale(4, 4, millis(16)).await;
    let begun = Instant::now();
    let mut reads = Vec::new();
    for number in 0..4 {
        reads.push(begin(&engine, number).await);
        sleep_until(begun + millis(4 * (number + 1))).await;
    }
    // The store reads a key in a millisecond.
    for milli in 0..2_000 {
        for number in 0..8 {
            reads.push(begin(&engine, 100 + 8 * milli + number).await);
        }
        sleep(millis(1)).await;
    }
    let (mut served, mut in_vain) = (0, 0);
    for read in reads {
        match read.await.unwrap() {
            (Ending::Served, ..) => served += 1,
            (_, _, took) => in_vain += u32::from(took > Duration::ZERO),
        }
    }
    assert!(served >= 1_900 && in_vain * 20 <= served, "{served} served, {in_vain} waited in vain");
}

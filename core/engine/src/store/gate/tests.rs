//! Turns at the gate.

use super::*;
use std::time::Duration;
use tokio::task::yield_now;

type Order = Arc<Mutex<Vec<&'static str>>>;

/// A line of so many reads, each of which gives its permit back at once.
struct Reads {
    waiting: AtomicU32,
    order: Order,
}

impl ReadLine for Reads {
    fn waits(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    fn depart(&self, permit: Permit) {
        // Another permit may have been given out for the same read.
        let taken =
            self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| waiting.checked_sub(1));
        if taken.is_ok() {
            lock(&self.order).push("read");
            tokio::spawn(async move { drop(permit) });
        }
    }
}

fn gate(limit: u32, waiting: u32) -> (Arc<Gate>, Arc<Reads>, Order) {
    let (gate, order) = (Gate::new(limit, limit), Order::default());
    let reads = Arc::new(Reads { waiting: AtomicU32::new(waiting), order: order.clone() });
    let line: Arc<dyn ReadLine> = reads.clone();
    gate.serve(Arc::downgrade(&line));
    (gate, reads, order)
}

fn background(gate: &Arc<Gate>, order: &Order, lane: Lane) -> tokio::task::JoinHandle<()> {
    let (gate, order) = (gate.clone(), order.clone());
    tokio::spawn(async move {
        let permit = gate.acquire(lane).await;
        lock(&order).push("write");
        drop(permit);
    })
}

#[tokio::test(start_paused = true)]
async fn reads_and_writes_that_wait_together_take_turns() {
    let (gate, reads, order) = gate(1, 0);
    let held = gate.try_acquire(Lane::Writes).unwrap();
    for _ in 0..3 {
        drop(background(&gate, &order, Lane::Writes));
        yield_now().await;
    }
    reads.waiting.store(2, Ordering::SeqCst);
    drop(held);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(*lock(&order), ["write", "read", "write", "read", "write"]);
    assert_eq!(gate.in_flight().used, 0);
}

#[tokio::test(start_paused = true)]
async fn a_permit_on_its_way_to_one_who_left_goes_to_the_next() {
    let (gate, _reads, order) = gate(1, 0);
    let held = gate.try_acquire(Lane::Writes).unwrap();
    let older = background(&gate, &order, Lane::Writes);
    yield_now().await;
    let newer = background(&gate, &order, Lane::Writes);
    yield_now().await;
    // The older one has its permit, has not seen it yet, and leaves.
    drop(held);
    older.abort();
    newer.await.unwrap();
    assert_eq!((order.lock().unwrap().len(), gate.in_flight().used), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_paused_lane_lets_one_probe_pass_and_the_other_lane_goes_on() {
    let (gate, reads, order) = gate(4, 0);
    gate.set_paused(Lane::Reads, true);
    reads.waiting.store(3, Ordering::SeqCst);
    gate.advance();
    background(&gate, &order, Lane::Writes).await.unwrap();
    assert_eq!(*lock(&order), ["write"]);
    assert!(gate.probe(Lane::Reads));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(*lock(&order), ["write", "read"], "one probe, and its end lets no other pass");
    gate.set_paused(Lane::Writes, true);
    assert!(!gate.probe(Lane::Writes), "nobody waits there");
    gate.set_paused(Lane::Reads, false);
    gate.advance();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(lock(&order).len(), 4);
}

#[test]
fn a_quarter_of_the_permits_is_kept_for_reads_until_the_gate_closes() {
    for (limit, background) in [(1, 1), (2, 1), (3, 2), (4, 3), (8, 6), (100, 75)] {
        let gate = Gate::new(limit, limit);
        let mut held: Vec<_> =
            std::iter::repeat_with(|| gate.try_acquire(Lane::Writes)).take_while(Option::is_some).collect();
        assert_eq!(held.len(), background, "of {limit}");
        gate.close();
        held.extend(std::iter::repeat_with(|| gate.try_acquire(Lane::Reads)).take_while(Option::is_some));
        assert_eq!(held.len(), limit as usize);
    }
}

#[test]
fn a_gate_that_closes_is_paused_no_more() {
    let gate = Gate::new(1, 1);
    gate.set_paused(Lane::Writes, true);
    gate.close();
    gate.set_paused(Lane::Writes, true);
    assert!(gate.try_acquire(Lane::Writes).is_some());
}

#[test]
fn a_gate_that_closes_keeps_its_limit() {
    let gate = Gate::new(4, 4);
    gate.close();
    gate.set_limit(2, 2);
    let held: Vec<_> = (0..4).map(|_| gate.try_acquire(Lane::Writes)).collect();
    assert!(held.iter().all(Option::is_some), "a close takes all permits to know that no call is under way");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_moves_is_kept_and_used() {
    let (gate, reads, order) = gate(5, 0);
    let held: Vec<_> = (0..4).map(|_| gate.try_acquire(Lane::Writes).unwrap()).collect();
    gate.set_limit(2, 2);
    reads.waiting.store(9, Ordering::SeqCst);
    let mut held = held.into_iter();
    held.next();
    held.next();
    yield_now().await;
    assert_eq!((lock(&order).len(), gate.in_flight().used), (0, 2), "those above the limit come back first");
    gate.set_limit(3, 3);
    gate.advance();
    assert_eq!((lock(&order).len(), gate.in_flight().used), (1, 3), "a higher one is used at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost_among_many_threads() {
    let (gate, reads, order) = gate(3, 0);
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (gate, reads, order) = (gate.clone(), reads.clone(), order.clone());
            tokio::spawn(async move {
                for _ in 0..500 {
                    if task % 2 == 0 {
                        reads.waiting.fetch_add(1, Ordering::SeqCst);
                        gate.advance();
                    } else {
                        let permit = gate.acquire(Lane::Writes).await;
                        assert!(gate.in_flight().used <= 3);
                        drop(permit);
                        lock(&order).push("write");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    while gate.in_flight().used > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(lock(&order).len(), 4_000);
}

#[tokio::test]
async fn calls_that_wait_say_whether_more_permits_would_help() {
    let (gate, reads, _order) = gate(1, 0);
    assert!(!gate.take_limited());
    let permit = gate.try_acquire(Lane::Writes).unwrap();
    assert!(!gate.take_limited(), "nobody waits");
    reads.waiting.store(1, Ordering::SeqCst);
    gate.advance();
    assert!(gate.take_limited() && gate.take_limited(), "for as long as it waits");
    gate.set_paused(Lane::Reads, true);
    gate.take_limited();
    assert!(!gate.take_limited(), "it waits for the breaker");
    gate.set_paused(Lane::Reads, false);
    drop(permit);
    gate.take_limited();
    assert!(!gate.take_limited(), "it has its permit");
}

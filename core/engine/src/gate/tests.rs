//! Turns at the gate.

use super::*;
use hydra_api::ContentKey;
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::task::yield_now;

fn flight(number: u8) -> Arc<Flight> {
    Arc::new(Flight::new(ContentKey::new(&[number]).unwrap(), NonZeroU32::MIN))
}

#[tokio::test(start_paused = true)]
async fn reads_and_chores_that_wait_together_take_turns() {
    let gate = Gate::new(1, 8);
    let held = gate.try_acquire().unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    for lane in ["chore", "chore", "chore", "read", "read"] {
        let (gate, order) = (gate.clone(), order.clone());
        tokio::spawn(async move {
            let permit = match lane {
                "chore" => gate.acquire_for_chore().await,
                _ => gate.acquire(Instant::now() + Duration::from_secs(1), &flight(0)).await.unwrap(),
            };
            lock(&order).push(lane);
            drop(permit);
        });
        yield_now().await;
    }
    drop(held);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(*lock(&order), ["chore", "read", "chore", "read", "chore"]);
    assert_eq!(gate.in_flight().used, 0);
}

#[tokio::test(start_paused = true)]
async fn a_permit_on_its_way_to_one_who_left_goes_to_the_next() {
    let gate = Gate::new(1, 8);
    let held = gate.try_acquire().unwrap();
    let wait = || {
        let gate = gate.clone();
        tokio::spawn(async move {
            gate.acquire(Instant::now() + Duration::from_secs(1), &flight(0)).await.is_some()
        })
    };
    let older = wait();
    yield_now().await;
    let newer = wait();
    yield_now().await;
    // The newer one has its permit, has not seen it yet, and leaves.
    drop(held);
    newer.abort();
    assert!(older.await.unwrap());
    assert_eq!((gate.in_flight().used, gate.waiting().used), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_newest_are_taken_along_and_know_it() {
    let gate = Gate::new(1, 8);
    let held = gate.try_acquire().unwrap();
    let flights: Vec<_> = (0..3).map(flight).collect();
    let mut reads = Vec::new();
    for flight in &flights {
        let (gate, flight) = (gate.clone(), flight.clone());
        reads.push(tokio::spawn(async move {
            gate.acquire(Instant::now() + Duration::from_secs(1), &flight).await.is_some()
        }));
        yield_now().await;
    }
    let taken: Vec<_> = gate.take_along(2).iter().map(|flight| flight.key).collect();
    assert_eq!(taken, [flights[2].key, flights[1].key]);
    drop(held);
    let mut got = Vec::new();
    for read in reads {
        got.push(read.await.unwrap());
    }
    assert_eq!(got, [true, false, false]);
    assert_eq!(flights.iter().map(|flight| flight.has_departed()).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(gate.take_waiting_peak().used, 3);
    assert_eq!(gate.take_waiting_peak().used, 0, "the peak is of the time since the last call");
}

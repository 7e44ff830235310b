//! What was taken during a flight, and the line of keys.

use super::*;
use crate::config::Config;
use futures::FutureExt;

fn key(number: u32) -> ValueKey {
    ValueKey::new(format!("/ipns/{number}").as_bytes()).unwrap()
}

fn record(value: &'static str) -> ValueRecord {
    ValueRecord { value: value.into(), received: UnixSeconds(1), expires: UnixSeconds(1_000) }
}

fn value_flights() -> Flights {
    Flights::new(&Limits::new(&Config { waiting_len_max: 4, ..Config::default() }))
}

fn flight(flights: &Flights, number: u32) -> Arc<Flight> {
    match flights.join(key(number), |_| true, |_| {}) {
        Joined::Flight(flight) => flight,
        other => panic!("{other:?}"),
    }
}

fn value(record: Option<ValueRecord>) -> Option<Bytes> {
    record.map(|record| record.value)
}

#[test]
fn a_flight_brings_what_was_taken_since_it_began_and_the_cache_keeps_it() {
    let (flights, now) = (value_flights(), Instant::now());
    let reading = flight(&flights, 1);
    assert_eq!(flights.depart().len(), 1);
    assert_eq!(flights.take(key(1), record("new"), None, |_| true, now), Took::Taken);
    flights.land(&reading, Ok(Some(record("old"))), now);
    let landed = reading.landed().now_or_never().unwrap();
    assert_eq!(value(landed.unwrap()), Some("new".into()));
    assert_eq!(value(flights.find(&key(1)).unwrap().record), Some("new".into()));
}

#[test]
fn a_worse_record_is_not_taken_over_one_that_has_come_in_since() {
    let (flights, now) = (value_flights(), Instant::now());
    assert_eq!(flights.take(key(1), record("better"), None, |_| true, now), Took::Taken);
    assert_eq!(flights.take(key(1), record("worse"), None, |_| false, now), Took::Outdated);
    let batch = flights.take_batch(UnixSeconds(2));
    flights.written(&batch[0]);
    assert_eq!(flights.take(key(1), record("worse"), None, |_| false, now), Took::Outdated, "it is written");
}

#[test]
fn a_full_line_lets_the_oldest_go_and_what_is_asked_for_again_departs_first() {
    let flights = value_flights();
    let four: Vec<_> = (0..4).map(|number| flight(&flights, number)).collect();
    flight(&flights, 0);
    flight(&flights, 4);
    let landed = four[1].landed().now_or_never();
    assert_eq!(landed, Some(Err(Ending::NoPermit)), "the oldest that nobody asked for again");
    let order: Vec<_> = flights.depart().iter().map(|flight| flight.key).collect();
    assert_eq!(order, [4, 0, 3, 2].map(key));
}

#[test]
fn a_record_is_in_one_batch_at_a_time() {
    let (flights, now) = (value_flights(), Instant::now());
    flights.take(key(1), record("one"), None, |_| true, now);
    let batch = flights.take_batch(UnixSeconds(2));
    assert_eq!(batch.len(), 1);
    flights.take(key(1), record("two"), None, |_| true, now);
    assert!(flights.take_batch(UnixSeconds(2)).is_empty(), "it is being written");
    flights.again(&batch[0], |tries| tries);
    flights.dropped(&batch[0]);
    flights.take(key(1), record("three"), None, |_| true, now);
    assert_eq!(flights.take_batch(UnixSeconds(2)).len(), 1, "once, though it stood in line twice");
    assert_eq!(flights.level().used, 1);
}

#[test]
fn nothing_is_taken_once_it_is_closed() {
    let (flights, now) = (value_flights(), Instant::now());
    flights.close();
    assert_eq!(flights.take(key(1), record("late"), None, |_| true, now), Took::Closed);
    assert_eq!(flights.level().used, 0);
}

#[test]
fn a_record_that_may_be_what_makes_its_batch_fail_is_written_alone_whoever_waits_before_it() {
    let (flights, now) = (value_flights(), Instant::now());
    let take = |number| flights.take(key(number), record("one"), None, |_| true, now);
    take(1);
    let batch = flights.take_batch(UnixSeconds(2));
    take(2);
    flights.again(&batch[0], |tries| Tries { alone: true, ..tries });
    take(3);
    let next = || flights.take_batch(UnixSeconds(2)).iter().map(|put| put.key).collect::<Vec<_>>();
    assert_eq!([next(), next(), next()], [vec![key(2)], vec![key(1)], vec![key(3)]]);
}

#[test]
fn what_is_written_let_go_or_dropped_takes_no_bytes_of_the_queue_any_more() {
    let (flights, now) = (value_flights(), Instant::now());
    let long = ValueRecord { value: vec![7; ValueRecord::LEN_MAX].into(), ..record("") };
    let rounds = 2 * flights.queue_bytes / ValueRecord::LEN_MAX;
    for round in 0..rounds {
        let take = |record| flights.take(key(1), record, None, |_| true, now);
        assert_eq!(take(record("short")), Took::Taken, "round {round} of {rounds}");
        assert_eq!(take(long.clone()), Took::Taken, "round {round} of {rounds}");
        let batch = flights.take_batch(if round % 5 == 0 { long.expires } else { UnixSeconds(2) });
        match round % 5 {
            0 => assert!(batch.is_empty(), "it has expired"),
            1 => flights.dropped(&batch[0]),
            2 => _ = flights.looked(&batch[0], Some(long.clone()), |_, _| true, now),
            3 => _ = flights.looked(&batch[0], Some(record("better")), |_, _| false, now),
            _ => flights.written(&batch[0]),
        }
        let bytes = lock(&flights.state).bytes;
        assert_eq!((bytes, flights.level().used), (0, 0), "round {round}");
    }
    assert!(!flights.is_full(&key(2)));
}

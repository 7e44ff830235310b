use super::*;
use hydra_api::{Addresses, PeerId};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

const NOW: UnixSeconds = UnixSeconds(1_000);

/// The flusher is quick: the record is refused and dropped while the request that announced it is still under way.
#[test]
fn what_is_dropped_as_soon_as_it_is_accepted_is_in_no_answer() {
    let flights = Flights::new(Cache::new(1 << 20));
    let key = ContentKey::new(&[1; 34]).unwrap();
    let record = ProviderRecord {
        key,
        provider: PeerId::new(&[7; 38]).unwrap(),
        addresses: Addresses::none(),
        expires: UnixSeconds(2_000),
    };
    let none = Answer::of_store(Vec::new(), NonZeroU32::MAX, Instant::now(), NOW, Duration::MAX);
    flights.cache().put(key, Arc::new(none));
    let (begins, begun) = sync_channel(1);
    thread::scope(|scope| {
        let (flights, record) = (&flights, &record);
        let ending = flights.accept(record, NOW, || {
            scope.spawn(move || {
                begins.send(()).unwrap();
                flights.retract(record, || false);
            });
            begun.recv().unwrap();
            thread::sleep(Duration::from_millis(20));
            Ending::Served
        });
        assert_eq!(ending, Ending::Served);
    });
    assert!(flights.cache().peek(&key).unwrap().is_absent());
}

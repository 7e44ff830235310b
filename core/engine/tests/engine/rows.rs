//! The rows of the protocol's requirements that the engine answers for.

use crate::doubles::{START, Store, addresses, caller, key, millis, open};
use hydra_api::{KeyError, Operation, UnixSeconds};
use hydra_engine::{AnnouncedKeys, Config, Ending, Refused};
use std::time::Duration;
use tokio::time::{advance, sleep};

const HOUR: Duration = Duration::from_secs(3_600);

/// Lets what waits be written, and then a long time pass in one leap.
async fn pass(time: Duration) {
    sleep(millis(1_000)).await;
    advance(time - millis(1_000)).await;
}

#[tokio::test(start_paused = true)]
async fn v1_empty_and_81_byte_keys_are_refused_and_80_bytes_accepted() {
    let store = Store::new(2, 16);
    let engine = open(&store, vec![], Config { announced_keys: AnnouncedKeys::Any, ..Config::default() });
    for (bytes, error) in [(&[][..], KeyError::Empty), (&[9; 81], KeyError::TooLong { len: 81 })] {
        assert_eq!(engine.providers(caller(0), bytes).await.unwrap_err(), Refused::Key(error));
        assert_eq!(engine.announce(caller(0), bytes, || addresses(0)), Err(Refused::Key(error)));
    }
    assert!(store.reads().is_empty(), "the store was not touched");
    assert_eq!(engine.announce(caller(0), &[9; 80], || addresses(0)), Ok(Ending::Served));
    assert_eq!(engine.providers(caller(0), &[9; 80]).await.unwrap().ending, Ending::Served);
    assert_eq!(engine.stats().requests(Operation::GetProviders, Ending::Refused), 2);
    assert_eq!(engine.stats().requests(Operation::AddProvider, Ending::Refused), 2);
}

#[tokio::test(start_paused = true)]
async fn v7_a_key_that_is_no_multihash_can_be_asked_for_but_not_announced() {
    let engine = open(&Store::new(2, 16), vec![], Config::default());
    assert_eq!(engine.providers(caller(0), b"a name").await.unwrap().ending, Ending::Served);
    assert_eq!(engine.announce(caller(0), b"a name", || addresses(0)), Err(Refused::NotMultihash));
    let any = Config { announced_keys: AnnouncedKeys::Any, ..Config::default() };
    let engine = open(&Store::new(2, 16), vec![], any);
    assert_eq!(engine.announce(caller(0), b"a name", || addresses(0)), Ok(Ending::Served));
}

#[tokio::test(start_paused = true)]
async fn v9_announcing_again_moves_the_expiry_of_the_same_record() {
    let store = Store::new(2, 16);
    let engine = open(&store, vec![], Config::default());
    for _ in 0..2 {
        engine.announce(caller(1), &key(1), || addresses(1)).unwrap();
        pass(22 * HOUR).await;
    }
    let found = engine.providers(caller(0), &key(1)).await.unwrap().providers().to_vec();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].expires, START.saturating_add((22 + 48) * HOUR));
}

#[tokio::test(start_paused = true)]
async fn v10_a_record_is_served_until_48_hours_have_passed() {
    let store = Store::new(2, 16);
    let engine = open(&store, vec![], Config::default());
    engine.announce(caller(1), &key(1), || addresses(1)).unwrap();
    pass(48 * HOUR - Duration::from_secs(60)).await;
    assert_eq!(engine.providers(caller(0), &key(1)).await.unwrap().providers().len(), 1);
    pass(Duration::from_secs(120)).await;
    assert_eq!(engine.providers(caller(0), &key(1)).await.unwrap().providers().len(), 0);
    let expires: Vec<UnixSeconds> =
        store.batches().iter().flat_map(|batch| batch.iter()).map(|record| record.expires).collect();
    assert_eq!(expires, [START.saturating_add(48 * HOUR)]);
}

#[tokio::test(start_paused = true)]
async fn v11_addresses_are_served_for_24_hours_and_the_bare_id_after_them() {
    let store = Store::new(2, 16);
    let engine = open(&store, vec![], Config::default());
    engine.announce(caller(1), &key(1), || addresses(1)).unwrap();
    pass(24 * HOUR - Duration::from_secs(60)).await;
    let found = async || engine.providers(caller(0), &key(1)).await.unwrap().providers().to_vec();
    assert_eq!(found().await[0].addresses, addresses(1));
    // From the cache too, which has them still.
    pass(Duration::from_secs(61)).await;
    for _ in 0..2 {
        let found = found().await;
        assert_eq!((found.len(), found[0].peer), (1, caller(1).peer));
        assert!(found[0].addresses.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn v20_an_identity_multihash_never_reaches_the_store() {
    let store = Store::new(2, 16);
    let engine = open(&store, vec![], Config { announced_keys: AnnouncedKeys::Any, ..Config::default() });
    let identity = [&[0, 36][..], &[7; 36]].concat();
    assert_eq!(engine.announce(caller(0), &identity, || addresses(0)), Err(Refused::IdentityMultihash));
    let found = engine.providers(caller(0), &identity).await.unwrap();
    assert_eq!(found.ending, Ending::NotKept, "answered with closer peers, not by a reset");
    sleep(millis(1_000)).await;
    assert!(store.reads().is_empty() && store.batches().is_empty());
}

#[tokio::test(start_paused = true)]
async fn v20_a_digest_longer_than_its_function_gives_is_not_announced() {
    let engine = open(&Store::new(2, 16), vec![], Config::default());
    let too_long = [&[0x12, 40][..], &[7; 40]].concat();
    assert_eq!(engine.announce(caller(0), &too_long, || addresses(0)), Err(Refused::NotMultihash));
}

#[tokio::test(start_paused = true)]
async fn v21_what_was_taken_is_in_the_store_within_the_flush_interval() {
    let store = Store::new(2, 256);
    let engine = open(&store, vec![], Config::default());
    for number in 0..200 {
        assert_eq!(engine.announce(caller(number), &key(number), || addresses(0)), Ok(Ending::Served));
        sleep(millis(7)).await;
    }
    sleep(millis(u64::from(Config::FLUSH_INTERVAL_MS)) + millis(1)).await;
    assert!((0..200).all(|number| store.knows(&key(number), caller(number).peer)));
}

use super::*;
use hydra_api::ContentKey;
use hydra_conformance::doubles::{CountingStore, DropsSome, FailingStore, Poison, RefusesRecord, StoresHalf};
use hydra_conformance::given::{addresses, key, peer};
use hydra_store_memory::Memory;
use std::num::NonZeroU32;

fn memory() -> Arc<dyn ProviderStore> {
    Arc::new(Memory::new(&Default::default()))
}

fn target(store: &Arc<impl ProviderStore>) -> Target {
    Target::new(store.clone(), "test".to_owned())
}

fn record(key_number: u64, provider: u64, at: UnixSeconds) -> KeyProvider {
    let expires = UnixSeconds::now().saturating_add(Duration::from_secs(90_000));
    let provider =
        Provider { peer: peer(provider), addresses: addresses(provider), addresses_at: at, expires };
    KeyProvider { key: key(key_number), provider }
}

fn page(len: u64) -> Vec<KeyProvider> {
    (0..len).map(|number| record(number, number % 5, UnixSeconds::now())).collect()
}

async fn read(store: &dyn ProviderStore, key: ContentKey) -> Vec<Provider> {
    let limit = NonZeroU32::new(100).unwrap();
    let found = store.providers(Arc::from([key]), UnixSeconds::now(), limit).await.unwrap().pop().unwrap();
    found.known().unwrap()
}

#[tokio::test]
async fn addresses_keep_their_age_and_are_written_once() {
    let store = Arc::new(CountingStore::new(memory()));
    let mut target = target(&store);
    let told = UnixSeconds::now().saturating_sub(Duration::from_secs(5 * 3600));
    for first in [0, 1000] {
        let page: Vec<_> = (first..first + 1000).map(|number| record(number, number % 3, told)).collect();
        target.write(page, &mut Written::default()).await.unwrap();
    }
    for number in [0, 500, 1999] {
        let provider = read(&*store, key(number)).await.pop().unwrap();
        assert_eq!(provider.addresses, addresses(number % 3));
        assert!(told.since(provider.addresses_at) <= Duration::from_secs(TOLD_WITHIN_S.into()));
        assert!(provider.addresses_at <= told);
    }
    assert_eq!(store.counted().inserts, 2, "a batch for each page");
}

#[tokio::test]
async fn a_record_that_is_refused_is_counted_and_the_others_are_written() {
    for poison in [Poison::default(), Poison::Outcome] {
        let store = Arc::new(RefusesRecord::new(memory(), poison, [(key(7), peer(2))]));
        let mut written = Written::default();
        target(&store).write(page(100), &mut written).await.unwrap();
        assert_eq!((written.taken, written.refused), (99, 1));
        assert!(written.reason.is_some());
        assert!(read(&*store, key(7)).await.is_empty());
        assert_eq!(read(&*store, key(8)).await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_for_a_while_is_waited_for() {
    let store = Arc::new(FailingStore::new(memory(), StoreErrorKind::Unavailable, 1000, 1));
    let healing = Arc::clone(&store);
    tokio::spawn(async move {
        sleep(Duration::from_secs(20)).await;
        healing.set(StoreErrorKind::Unavailable, 0);
    });
    let mut written = Written::default();
    target(&store).write(page(100), &mut written).await.unwrap();
    assert_eq!(written.taken, 100);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_away_is_given_up() {
    let store = Arc::new(FailingStore::new(memory(), StoreErrorKind::Overloaded, 1000, 1));
    let begun = tokio::time::Instant::now();
    let failed = target(&store).write(page(1), &mut Written::default()).await;
    assert!(matches!(failed, Err(Failure::Unavailable(_))), "{failed:?}");
    assert_eq!(store.counted().inserts, 1 + u64::from(RETRIES_MAX));
    assert!((Duration::from_secs(60)..Duration::from_secs(180)).contains(&begun.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_long_to_fail_is_tried_again_once() {
    let error = StoreError::new(StoreErrorKind::Overloaded, "page");
    let begun = Instant::now();
    let mut pauses = Pauses::default();
    let attempts = async {
        for attempt in 1.. {
            sleep(Duration::from_secs(300)).await;
            if let Err(failed) = pauses.after(&error, "cannot read").await {
                return (attempt, failed);
            }
        }
        unreachable!("it has no end")
    };
    let (attempts, failed) = attempts.await;
    assert!(matches!(failed, Failure::Unavailable(_)), "{failed:?}");
    assert_eq!(attempts, 2);
    assert!(begun.elapsed() < Duration::from_secs(601));
}

#[test]
fn each_attempt_is_logged_with_its_cause() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let writer = Arc::new(log.reopen().unwrap());
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_writer(writer);
    tracing::subscriber::with_default(subscriber.with_ansi(false).finish(), || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let error = StoreError::because(StoreErrorKind::Unavailable, "page", "no answer in time");
        let mut pauses = Pauses::default();
        runtime.block_on(pauses.after(&error, "cannot read from x")).unwrap();
        // Another thread, without a subscriber, may have come by the event first and have switched it off.
        tracing::callsite::rebuild_interest_cache();
        runtime.block_on(pauses.after(&error, "cannot read from x")).unwrap();
    });
    let log = std::fs::read_to_string(log.path()).unwrap();
    assert!(log.contains("WARN") && log.contains("cannot read from x, trying again"), "{log}");
    assert!(log.contains("no answer in time"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_which_half_is_stored_is_written_whole() {
    let store = Arc::new(StoresHalf::new(memory(), StoreErrorKind::Unavailable));
    let healing = Arc::clone(&store);
    tokio::spawn(async move {
        sleep(Duration::from_secs(3)).await;
        healing.set(None);
    });
    let mut written = Written::default();
    target(&store).write(page(64), &mut written).await.unwrap();
    assert_eq!(written.taken, 64);
    for number in 0..64 {
        assert_eq!(read(&*store, key(number)).await.len(), 1, "record {number}");
    }
}

#[tokio::test]
async fn a_store_without_room_stops_the_transfer() {
    let store = Arc::new(DropsSome::new(memory(), 100, 1));
    let failed = target(&store).write(page(200), &mut Written::default()).await;
    assert!(matches!(&failed, Err(Failure::Failed(text)) if text.contains("has no room")), "{failed:?}");
}

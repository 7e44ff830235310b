//! A store that is not open at the start of its node.

use super::*;
use hydra_api::{
    Addresses, Causes, FoundValue, OpenError, PeerId, Plugin, PutOutcome, Scope, StoreProfile, ValueKey,
    ValuePut, ValueRecord,
};
use hydra_conformance::doubles::{Asked, Behaviour, ClaimingStore, Double, RecordingStore};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::time::sleep;

const LIMIT: Duration = Duration::from_secs(20);

fn refused() -> OpenError {
    OpenError::unavailable("cannot connect", std::io::Error::other("refused"))
}

async fn memory() -> Arc<dyn ProviderStore> {
    let config = hydra_store_memory::Config::default();
    hydra_store_memory::Memory::open(config, &Scope::new("unused")).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_at_the_start_serves_once_it_is_there() {
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let late = LateStore::new(Causes(&refused()).to_string(), LIMIT, None, move || {
        let attempt = counted.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            match attempt {
                0..15 => Err(refused().into()),
                // Whatever goes wrong, it is tried again.
                15..29 => Err(AttemptError::Panicked),
                29 => Err(OpenError::corrupt("cannot read a page", "XX001").into()),
                _ => Ok(memory().await),
            }
        })
    });
    let failed = late.estimate().await.unwrap_err();
    assert_eq!(failed.kind(), StoreErrorKind::Unavailable);
    assert!(Causes(&failed).to_string().ends_with("cannot connect: refused"), "{}", Causes(&failed));

    sleep(Duration::from_secs(20)).await;
    assert!((15..=27).contains(&attempts.load(Ordering::Relaxed)), "about once in a second");
    let (since, cause) = late.opening().awaited().unwrap();
    assert_eq!((since.as_secs(), cause.as_str()), (20, "the plugin panicked"));
    assert_eq!(late.estimate().await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    sleep(Duration::from_secs(30)).await;
    assert!(late.estimate().await.is_ok());
    assert_eq!(late.opening().awaited(), None);
    late.close().await.unwrap();
    assert!(late.estimate().await.is_err(), "the store is closed");
}

#[tokio::test(start_paused = true)]
async fn the_first_attempt_goes_on_while_the_node_serves() {
    let first: Opening = Box::pin(async {
        sleep(Duration::from_secs(60)).await;
        Ok(memory().await)
    });
    let late =
        LateStore::new("slow".to_owned(), LIMIT, Some(first), || unreachable!("the first one succeeds"));
    sleep(Duration::from_secs(59)).await;
    assert!(late.estimate().await.is_err());
    sleep(Duration::from_secs(2)).await;
    assert!(late.estimate().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn no_second_attempt_begins_beside_one_that_is_late() {
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let late = LateStore::new(String::new(), LIMIT, None, move || {
        let attempt = counted.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            match attempt {
                0 => std::future::pending().await,
                _ => sleep(LIMIT * 5).await,
            }
            Ok(memory().await)
        })
    });
    sleep(LIMIT + Duration::from_secs(3)).await;
    let (_, cause) = late.opening().awaited().unwrap();
    assert_eq!(cause, "it is not open after 20s (open_timeout_s)");
    sleep(LIMIT * 8).await;
    assert_eq!(attempts.load(Ordering::Relaxed), 1);
    sleep(LIMIT * 2).await;
    assert_eq!(attempts.load(Ordering::Relaxed), 2, "one that hangs is dropped in the end");
    sleep(LIMIT * 5).await;
    assert!(late.estimate().await.is_ok(), "one that is late is awaited");
    assert_eq!(attempts.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn the_first_window_is_not_cut_into_single_records_and_fits_the_store() {
    let recording = Arc::new(RecordingStore::new(memory().await, 1_000));
    let len = |len| NonZeroUsize::new(len).unwrap();
    let claims = StoreProfile::builder().read_batch_len_max(len(10)).write_batch_len_max(len(100)).build();
    let narrow: Arc<dyn ProviderStore> = Arc::new(ClaimingStore::new(Arc::clone(&recording) as _, claims));
    let late = LateStore::new(String::new(), LIMIT, None, move || {
        let narrow = Arc::clone(&narrow);
        Box::pin(async move { Ok(narrow) })
    });
    let before = late.profile();
    assert_eq!(before.sharing, Sharing::BetweenProcesses);
    assert!(before.concurrency_max.get() > 1 && before.reads.batch_len_max.get() >= 64);
    assert!(before.writes.batch_len_max.get() >= 256);

    sleep(Duration::from_secs(2)).await;
    assert_eq!(late.profile().writes.batch_len_max, len(100), "it is the store's own");
    let (now, limit) = (UnixSeconds(1_000), NonZeroU32::MAX);
    let keys: Vec<ContentKey> = (0..256u16)
        .map(|key| ContentKey::new(&[&[0x12, 2][..], &key.to_be_bytes()].concat()).unwrap())
        .collect();
    let record = |key: &ContentKey| ProviderRecord {
        key: *key,
        provider: PeerId::new(&[0, 1, 7]).unwrap(),
        addresses: Addresses::default(),
        expires: UnixSeconds(2_000),
    };
    let batch: Arc<[_]> = keys.iter().map(record).collect();
    assert_eq!(late.insert(batch, now).await.unwrap(), Inserted::All);
    let found = late.providers(keys.into(), now, limit).await.unwrap();
    assert!(found.len() == 256 && found.iter().all(|found| found.providers().len() == 1));
    let asked = recording.asked();
    let written = asked
        .iter()
        .filter_map(|call| if let Asked::Insert(batch) = call { Some(batch.len()) } else { None });
    assert_eq!(written.collect::<Vec<_>>(), [100, 100, 56]);
    let read = asked
        .iter()
        .filter_map(|call| if let Asked::Providers { keys, .. } = call { Some(keys.len()) } else { None });
    assert!(read.clone().all(|len| len <= 10) && read.sum::<usize>() == 256);
}

/// Publishes one figure.
#[derive(Debug)]
struct Publishes;

impl Behaviour for Publishes {
    fn metrics(&self, _: Vec<Metric>) -> Vec<Metric> {
        vec![Metric::counter("db_errors_total", "Errors.", 3)]
    }
}

#[tokio::test(start_paused = true)]
async fn its_figures_and_its_system_are_those_of_the_store_once_it_is_open() {
    let system = StoreProfile::builder().system("postgresql").build();
    let open: Arc<dyn ProviderStore> = Arc::new(ClaimingStore::new(memory().await, system));
    let open: Arc<dyn ProviderStore> = Arc::new(Double::of(open, Publishes));
    let late = LateStore::new(String::new(), LIMIT, None, move || {
        let open = Arc::clone(&open);
        Box::pin(async move { Ok(open) })
    });
    assert_eq!((late.metrics(), late.profile().system), (Vec::new(), None));
    sleep(Duration::from_secs(2)).await;
    assert_eq!((late.metrics().len(), late.profile().system), (1, Some("postgresql")));
}

#[tokio::test(start_paused = true)]
async fn value_records_are_those_of_the_store_once_it_is_open() {
    let late = LateStore::new(String::new(), LIMIT, None, || Box::pin(async { Ok(memory().await) }));
    let key = ValueKey::new(b"/ipns/name").unwrap();
    let (now, expires) = (UnixSeconds(1_000), UnixSeconds(2_000));
    let record = ValueRecord { value: b"value".as_slice().into(), received: now, expires };
    let put: Arc<[_]> = Arc::from([ValuePut { key, seen: None, record: record.clone() }]);
    let failed = late.values().unwrap().put_if(Arc::clone(&put), now).await.unwrap_err();
    assert_eq!(failed.kind(), StoreErrorKind::Unavailable);
    assert!(Causes(&failed).to_string().contains("not open yet"), "{}", Causes(&failed));
    let failed = late.values().unwrap().get([key].into(), now).await.unwrap_err();
    assert_eq!(failed.kind(), StoreErrorKind::Unavailable);

    // One who has asked before it was open goes on with what was told.
    let before = late.values().unwrap();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(before.put_if(put, now).await.unwrap(), [PutOutcome::Stored]);
    for values in [before, late.values().unwrap()] {
        assert_eq!(values.get([key].into(), now).await.unwrap(), [FoundValue::Known(Some(record.clone()))]);
        assert_eq!(values.estimate_values().await.unwrap().records, 1);
    }
    assert_eq!(before.delete_values([key].into()).await.unwrap(), 1);
}

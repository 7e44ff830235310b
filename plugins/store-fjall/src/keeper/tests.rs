use super::*;
use hydra_api::{Plugin, Scope, StoreErrorKind};
use hydra_conformance::given::{NOW, key, record};
use std::num::NonZeroU32;
use std::path::Path;

/// Where fjall keeps files of rows.
fn tables(dir: &Path) -> PathBuf {
    let keyspaces = std::fs::read_dir(dir.join("records/keyspaces")).unwrap();
    let keyspace = keyspaces.map(|entry| entry.unwrap().path()).find(|path| !path.ends_with("0"));
    keyspace.unwrap().join("tables")
}

/// fjall's own threads meet the error, and no call of a writer.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_whose_threads_have_stopped_is_reopened_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = crate::Fjall::open(Config::default(), &Scope::new(dir.path())).await.unwrap();
    let limit = NonZeroU32::new(10).unwrap();
    let (tables, away) = (tables(dir.path()), dir.path().join("away"));
    std::fs::rename(&tables, &away).unwrap();
    let mut number = 0;
    let error = loop {
        let batch: Vec<_> = (0..1000).map(|of| record(number + of, number + of)).collect();
        match store.insert(batch.into(), NOW).await {
            Ok(_) => number += 1000,
            Err(error) => break error,
        }
        assert!(number < 1_000_000, "fjall never writes a file");
    };
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let since = Instant::now();
    let named = loop {
        let error = store.insert([record(number, 1)].into(), NOW).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        let shown = Causes(&error).to_string();
        if shown.ends_with("(os error 2)") {
            break shown;
        }
        assert!(since.elapsed() < PATIENCE, "the cause is not named: {shown}");
        tokio::time::sleep(LOOK_AGAIN).await;
    };
    assert!(named.contains("not reopened yet"), "{named}");
    let found = store.providers([key(0), key(number - 1)].into(), NOW, limit).await.unwrap();
    assert!(found.iter().all(|found| found.providers().len() == 1));
    std::fs::rename(&away, &tables).unwrap();
    let since = Instant::now();
    while let Err(error) = store.insert([record(number, 1)].into(), NOW).await {
        assert!(since.elapsed() < PATIENCE, "not reopened: {}", Causes(&error));
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    assert_eq!(store.estimate().await.unwrap().records, number + 1);
    store.close().await.unwrap();
    drop(store);
    let store = crate::Fjall::open(Config::default(), &Scope::new(dir.path())).await.unwrap();
    for first in (0..=number).step_by(1000) {
        let keys: Vec<_> = (first..(first + 1000).min(number + 1)).map(key).collect();
        let found = store.providers(keys.into(), NOW, limit).await.unwrap();
        assert!(found.iter().all(|found| found.providers().len() == 1), "batch {first}");
    }
    store.close().await.unwrap();
}

const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The pause between two attempts to reopen, many times over.
const PATIENCE: Duration = Duration::from_secs(120);

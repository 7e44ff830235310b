//! Value records in sled's files.

use super::{Call, Config, NOW, open, open_at, record, set_aside};
use hydra_api::value::{FoundValue, PutOutcome, ValueKey, ValuePut, ValueRecord};
use hydra_api::{Inserted, ProviderStore, StoreErrorKind, UnixSeconds, ValueStore};
use hydra_embedded::values::value_key;
use std::path::PathBuf;

fn put(number: u32) -> ValuePut {
    let key = ValueKey::new(&number.to_be_bytes()).unwrap();
    let expires = UnixSeconds(NOW.0 + 1000);
    let record = ValueRecord { value: vec![number as u8; 400].into(), received: NOW, expires };
    ValuePut { key, seen: None, record }
}

/// As a version without value records has left it.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_value_records_gets_a_tree_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    store.insert([record(1, 1)].into(), NOW).await.unwrap();
    {
        let engine = store.keeper.engine("test", Call::Read).unwrap();
        assert!(engine.db.drop_tree("values").unwrap());
        assert_eq!(engine.db.tree_names().len(), 1);
    }
    store.close().await.unwrap();
    let store = open(&dir).await;
    assert_eq!(set_aside(dir.path()), Vec::<PathBuf>::new());
    assert_eq!(store.estimate().await.unwrap().records, 1);
    assert_eq!(store.put_if([put(1)].into(), NOW).await.unwrap(), [PutOutcome::Stored]);
    store.close().await.unwrap();
    let store = open(&dir).await;
    let found = store.get([put(1).key].into(), NOW).await.unwrap();
    assert_eq!(found, [FoundValue::Known(Some(put(1).record))]);
    store.close().await.unwrap();
}

/// A row that is no value record is damage of its key alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_value_record_is_unknown_and_those_beside_it_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let puts = [put(1), put(2)];
    assert_eq!(
        store.put_if(puts.clone().into(), NOW).await.unwrap(),
        [PutOutcome::Stored, PutOutcome::Stored]
    );
    {
        let engine = store.keeper.engine("test", Call::Read).unwrap();
        engine.db.open_tree("values").unwrap().insert(value_key(&puts[0].key), &[7; 8]).unwrap();
    }
    let [damaged, other] = puts.clone();
    let found = store.get([damaged.key, other.key].into(), NOW).await.unwrap();
    let known = FoundValue::Known(Some(other.record));
    assert_eq!(found, [FoundValue::Unknown(StoreErrorKind::Corrupt), known]);
    let error = store.get([damaged.key].into(), NOW).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    let next = ValuePut { seen: Some(puts[1].record.value.clone()), ..put(2) };
    let outcomes = store.put_if([puts[0].clone(), next, put(3)].into(), NOW).await.unwrap();
    let unknown = PutOutcome::Unknown(StoreErrorKind::Corrupt);
    assert_eq!(outcomes, [unknown, PutOutcome::Stored, PutOutcome::Stored]);
    let error = store.put_if([puts[0].clone()].into(), NOW).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    store.close().await.ok();
    open(&dir).await.close().await.unwrap();
    assert_eq!(set_aside(dir.path()).len(), 1);
}

/// What sled keeps in memory grows with both kinds of records.
#[tokio::test(flavor = "multi_thread")]
async fn value_records_and_provider_records_share_the_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_at(dir.path(), Config { records_max: 40, ..Config::default() }).await.unwrap();
    let batch: Vec<_> = (0..20).map(|number| record(number, number)).collect();
    assert_eq!(store.insert(batch.into(), NOW).await.unwrap(), Inserted::All);
    let puts: Vec<_> = (0..30).map(put).collect();
    let outcomes = store.put_if(puts.into(), NOW).await.unwrap();
    let stored = outcomes.iter().filter(|outcome| **outcome == PutOutcome::Stored).count();
    let refused = outcomes.iter().filter(|outcome| **outcome == PutOutcome::NoRoom).count();
    assert_eq!((stored, refused), (20, 10));
    assert!(matches!(store.insert([record(90, 90)].into(), NOW).await.unwrap(), Inserted::Each(_)));
}

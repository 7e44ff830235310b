//! Value records in fjall's files.

use super::{NOW, TempDir, open, set_aside};
use hydra_api::value::{FoundValue, PutOutcome, ValueKey, ValuePut, ValueRecord};
use hydra_api::{ProviderStore, StoreErrorKind, UnixSeconds, ValueStore};
use hydra_embedded::values::value_key;
use std::path::PathBuf;

fn put(number: u32) -> ValuePut {
    let key = ValueKey::new(&number.to_be_bytes()).unwrap();
    let expires = UnixSeconds(NOW.0 + 1000);
    let record = ValueRecord { value: vec![number as u8; 400].into(), received: NOW, expires };
    ValuePut { key, seen: None, record }
}

/// A row that is no value record is damage of its key alone, and the next start begins anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_value_record_is_unknown_and_those_beside_it_are_known() {
    let dir: TempDir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let puts = [put(1), put(2)];
    assert_eq!(
        store.put_if(puts.clone().into(), NOW).await.unwrap(),
        [PutOutcome::Stored, PutOutcome::Stored]
    );
    let rows = store.readers.reader("test").unwrap().rows.clone();
    rows.insert(&value_key(&puts[0].key)[..], [7; 8]).unwrap();
    drop(rows);
    let other = store.get([puts[1].key].into(), NOW).await.unwrap();
    assert_eq!(other, [FoundValue::Known(Some(puts[1].record.clone()))]);
    let [damaged, second] = puts.clone();
    let unknown = FoundValue::Unknown(StoreErrorKind::Corrupt);
    let found = store.get(puts.clone().map(|put| put.key).into(), NOW).await.unwrap();
    assert_eq!(found, [unknown, FoundValue::Known(Some(second.record.clone()))]);
    assert!(store.unknown_because().is_some_and(|because| because.contains("value records is damaged")));
    assert_eq!(store.get([damaged.key].into(), NOW).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
    // A put of it stays open, and those beside it do not.
    let next = ValuePut { seen: Some(second.record.value.clone()), ..put(2) };
    let outcomes = store.put_if([damaged.clone(), next, put(3)].into(), NOW).await.unwrap();
    let unknown = PutOutcome::Unknown(StoreErrorKind::Corrupt);
    assert_eq!(outcomes, [unknown, PutOutcome::Stored, PutOutcome::Stored]);
    assert_eq!(store.put_if([damaged].into(), NOW).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
    assert_eq!(set_aside(dir.path()), Vec::<PathBuf>::new());
    store.close().await.ok();
    open(&dir).await.close().await.unwrap();
    assert_eq!(set_aside(dir.path()).len(), 1);
}

//! Stores that the test opens itself, to fill them and to look into them.

use hydra_api::value::BATCH_LEN_MAX;
use hydra_api::{
    Addresses, ContentKey, Inserted, KeyProvider, PeerId, ProviderRecord, ProviderStore, PutOutcome,
    Registry, Scope, Store, UnixSeconds, ValueKey, ValuePut, ValueRecord,
};
use hydra_conformance::given::{addresses, key, peer};
use hydra_integration_tests::node::Home;
use serde_json::Value;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

pub(crate) type Records = BTreeMap<(ContentKey, PeerId), KeyProvider>;

/// Opens a store as the config of this name does.
pub(crate) async fn open(home: &Home, name: &str, store: &Value) -> Arc<dyn ProviderStore> {
    let mut registry = Registry::default();
    hydra_bundle::add_all(&mut registry);
    let mut table = store.clone();
    let kind = table.as_object_mut().unwrap().remove("kind").unwrap();
    let dir = home.path().join(format!("{name}-data"));
    std::fs::create_dir_all(&dir).unwrap();
    let entry = registry.find::<Store>(kind.as_str().unwrap()).unwrap().clone();
    entry.open(table, &Scope::new(dir).with_registry(Arc::new(registry))).await.unwrap()
}

/// Records of keys with one provider, with several, and with many; some that live shortly and some whose provider has no
/// addresses. In two parts: the addresses of one are some hours old.
pub(crate) async fn fill(store: &dyn ProviderStore, keys: u64) {
    let now = UnixSeconds::now();
    let record = |number: u64, provider: u64| ProviderRecord {
        key: key(number),
        provider: peer(provider),
        addresses: if provider.is_multiple_of(7) { Addresses::none() } else { addresses(provider) },
        expires: now.saturating_add(Duration::from_secs(86_400 + number % 1000)),
    };
    let mut records: Vec<_> = (0..keys).map(|number| record(number, number % 300)).collect();
    records.extend((0..keys / 10).map(|number| record(number, 400 + number % 5)));
    records.extend((0..200).map(|number| record(1, 1000 + number)));
    let (old, new): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|record| record.provider.as_bytes()[7] % 2 == 0);
    for (records, at) in [(old, now.saturating_sub(Duration::from_secs(5 * 3600))), (new, now)] {
        for batch in records.chunks(1000) {
            assert_eq!(store.insert(Arc::from(batch), at).await.unwrap(), Inserted::All);
        }
    }
}

/// Value records, those of a hundred longer than most.
pub(crate) async fn fill_values(store: &dyn ProviderStore, keys: u64) {
    let now = UnixSeconds::now();
    let puts: Vec<_> = (0..keys)
        .map(|number| {
            let key = ValueKey::new(&[b"/ipns/", peer(number).as_bytes()].concat()).unwrap();
            let value = vec![number as u8; if number < 100 { 10_240 } else { 400 }].into();
            let expires = now.saturating_add(Duration::from_secs(86_400 + number % 1000));
            ValuePut { key, seen: None, record: ValueRecord { value, received: now, expires } }
        })
        .collect();
    for batch in puts.chunks(BATCH_LEN_MAX) {
        let outcomes = store.values().unwrap().put_if(batch.into(), now).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == PutOutcome::Stored));
    }
}

/// All value records that have not expired.
pub(crate) async fn all_values(store: &dyn ProviderStore) -> BTreeMap<ValueKey, ValueRecord> {
    let (mut records, mut cursor) = (BTreeMap::new(), None);
    loop {
        let limit = NonZeroU32::new(1000).unwrap();
        let page = store.values().unwrap().scan_values(cursor, UnixSeconds::now(), limit).await.unwrap();
        records.extend(page.records);
        cursor = page.next;
        if cursor.is_none() {
            return records;
        }
    }
}

/// All records that have not expired.
pub(crate) async fn all(store: &dyn ProviderStore) -> Records {
    let mut records = Records::new();
    let mut cursor = None;
    loop {
        let page = store.scan(cursor, UnixSeconds::now(), NonZeroU32::new(1000).unwrap()).await.unwrap();
        records.extend(page.records.into_iter().map(|one| ((one.key, one.provider.peer), one)));
        cursor = page.next;
        if cursor.is_none() {
            return records;
        }
    }
}

/// Fails unless both have the same records with the same expiries and addresses, whose age may differ by the slack of a store for
/// each of so many copies.
pub(crate) fn same(copied: &Records, original: &Records, copies: u32) {
    assert_eq!(copied.len(), original.len(), "the number of records");
    for (name, one) in original {
        let (is, was) =
            (&copied.get(name).unwrap_or_else(|| panic!("{name:?} is missing")).provider, &one.provider);
        assert_eq!((is.expires, &is.addresses), (was.expires, &was.addresses), "{name:?}");
        let (earlier, later) = (is.addresses_at.min(was.addresses_at), is.addresses_at.max(was.addresses_at));
        let apart = later.since(earlier);
        assert!(
            was.addresses.is_empty() || apart <= Addresses::SLACK * copies,
            "{name:?} is {apart:?} apart"
        );
    }
}

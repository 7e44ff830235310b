//! What is refused, and what the inner store gets.

use hydra_api::{
    Addresses, ContentKey, Figure, Found, Inserted, OpenErrorKind, PeerId, ProviderRecord, ProviderStore,
    ReconfigureError, RecordOutcome, Registry, Scope, Store, UnixSeconds, Value,
};
use office_hours::ShortKeys;
use std::num::NonZeroU32;
use std::sync::Arc;

const NOW: UnixSeconds = UnixSeconds(1_000_000);

fn table(text: &str) -> Value {
    text.parse().unwrap()
}

async fn open(text: &str) -> Result<Arc<dyn ProviderStore>, hydra_api::OpenError> {
    let mut registry = Registry::default();
    hydra_bundle::add_all(&mut registry);
    registry.add::<ShortKeys>();
    let scope = Scope::new("unused").with_registry(Arc::new(registry.clone()));
    registry.find::<Store>("short-keys").unwrap().open(table(text), &scope).await
}

fn key(len: usize) -> ContentKey {
    ContentKey::new(&vec![7; len]).unwrap()
}

fn record(len: usize) -> ProviderRecord {
    let provider = PeerId::new(b"provider").unwrap();
    ProviderRecord {
        key: key(len),
        provider,
        addresses: Addresses::default(),
        expires: UnixSeconds(NOW.0 + 60),
    }
}

async fn insert(store: &dyn ProviderStore, lens: &[usize]) -> Inserted {
    store.insert(lens.iter().map(|len| record(*len)).collect(), NOW).await.unwrap()
}

async fn kept(store: &dyn ProviderStore, len: usize) -> bool {
    let found = store.providers(Arc::new([key(len)]), NOW, NonZeroU32::MIN).await.unwrap();
    let [Found::Known(providers)] = &found[..] else { panic!("{found:?}") };
    !providers.is_empty()
}

#[tokio::test]
async fn records_of_long_keys_are_refused_one_by_one() {
    let store = open(r#"{ "key_bytes_max": 34 }"#).await.unwrap();
    assert_eq!(insert(&*store, &[1, 34]).await, Inserted::All);
    let Inserted::Each(outcomes) = insert(&*store, &[33, 35, 32]).await else { panic!() };
    let [RecordOutcome::Taken, RecordOutcome::Refused(why), RecordOutcome::Taken] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert!(why.contains("key_bytes_max"));
    let metrics = store.metrics();
    let refused = metrics.iter().find(|metric| metric.name == "db_long_keys_refused_total").unwrap();
    assert_eq!(refused.figure, Figure::Counter(1));
    for (len, expected) in [(1, true), (32, true), (33, true), (34, true), (35, false)] {
        assert_eq!(kept(&*store, len).await, expected, "{len} bytes");
    }
}

#[tokio::test]
async fn a_wrong_key_of_the_inner_table_is_named_from_the_outer_one_down() {
    for (text, key) in [
        (r#"{ "inner": { "kind": "memory", "mib": 3 } }"#, "inner.mib"),
        (r#"{ "inner": { "kind": "memories" } }"#, "inner.kind"),
        (
            r#"{ "inner": { "kind": "short-keys", "inner": { "kind": "memory", "mib": 3 } } }"#,
            "inner.inner.mib",
        ),
    ] {
        let error = open(text).await.unwrap_err();
        assert_eq!(error.kind(), &OpenErrorKind::Config { key: key.to_owned() }, "{error}");
    }
}

#[tokio::test]
async fn a_changed_table_is_taken_up_as_far_as_the_inner_store_takes_its_own() {
    let store =
        open(r#"{ "key_bytes_max": 34, "inner": { "kind": "memory", "mib_max": 8 } }"#).await.unwrap();
    let change = |text: &str| store.reconfigure(table(text));
    change(r#"{ "key_bytes_max": 40, "inner": { "kind": "memory", "mib_max": 8 } }"#).unwrap();
    insert(&*store, &[40, 41]).await;
    assert!(kept(&*store, 40).await && !kept(&*store, 41).await);
    let other = change(r#"{ "key_bytes_max": 50, "inner": { "kind": "fjall" } }"#);
    assert_eq!(other, Err(ReconfigureError::keys(["inner.kind"])));
    assert!(change(r#"{ "key_bytes_max": 50, "inner": { "kind": "memory", "mib": 8 } }"#).is_err());
    insert(&*store, &[41]).await;
    assert!(!kept(&*store, 41).await, "as before");
}

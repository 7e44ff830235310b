use super::*;
use hydra_api::{Admission, Ids, Role, Store};

/// The kinds of a role, each with a table that its defaults fill in and that refuses a key it does not know.
fn kinds<R: Role>(registry: &Registry) -> Vec<&'static str> {
    let each = |entry: &hydra_api::Entry<R>| {
        let table = entry.complete(serde_json::json!({})).unwrap();
        assert_eq!(entry.complete(table.clone()).unwrap(), table, "{} reads its own defaults", entry.kind());
        let bogus = entry.complete(serde_json::json!({ "bogus_key": 1 })).unwrap_err();
        assert!(bogus.message.contains("bogus_key"), "{}: {bogus}", entry.kind());
        assert!(!entry.summary().is_empty());
        entry.kind()
    };
    registry.all::<R>().iter().map(each).collect()
}

#[test]
fn every_feature_adds_its_plugin_and_no_other() {
    let mut registry = Registry::default();
    add_all(&mut registry);
    let on = |kinds: &[(&'static str, bool)]| -> Vec<&'static str> {
        kinds.iter().filter(|(_, on)| *on).map(|(kind, _)| *kind).collect()
    };
    let stores = on(&[
        ("fjall", cfg!(feature = "store-fjall")),
        ("memory", cfg!(feature = "store-memory")),
        ("postgres", cfg!(feature = "store-postgres")),
        ("redis", cfg!(feature = "store-redis")),
        ("sled", cfg!(feature = "store-sled")),
        ("tiered", cfg!(feature = "store-tiered")),
    ]);
    assert_eq!(kinds::<Store>(&registry), stores);
    let admissions = on(&[
        ("denylist", cfg!(feature = "admission-denylist")),
        ("fair", cfg!(feature = "admission-fair")),
        ("hot-key", cfg!(feature = "admission-hot-key")),
        ("memory", cfg!(feature = "admission-memory")),
        ("queue-depth", cfg!(feature = "admission-queue-depth")),
        ("token-bucket", cfg!(feature = "admission-token-bucket")),
    ]);
    assert_eq!(kinds::<Admission>(&registry), admissions);
    assert_eq!(kinds::<Ids>(&registry), on(&[("balanced", cfg!(feature = "ids-balanced"))]));
    let imports: Vec<_> = registry.importers().iter().map(hydra_api::ImportEntry::kind).collect();
    assert_eq!(imports, on(&[("hydra-booster-postgres", cfg!(feature = "store-postgres"))]));
}

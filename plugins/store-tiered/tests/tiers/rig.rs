//! A tiered store over stores that the test holds.

use hydra_api::{
    Causes, ContentKey, Found, Inserted, OpenError, Plugin, Provider, ProviderRecord, ProviderStore, Purpose,
    RecordOutcome, Registry, Scope, Store, StoreError, UnixSeconds,
};
use hydra_conformance::doubles::CountingStore;
use hydra_conformance::given::{NOW, key};
use hydra_store_memory::Memory;
use hydra_store_tiered::Tiered;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

pub(crate) const LIMIT: u32 = 100;

/// A store that a test holds, and whether it can be reached.
#[derive(Debug, Clone)]
enum Place {
    There(Arc<dyn ProviderStore>),
    Away,
    /// Its opening never ends.
    Silent,
    /// Its opening panics.
    Panics,
}

static PLACES: Mutex<BTreeMap<u32, Place>> = Mutex::new(BTreeMap::new());
static NUMBERS: AtomicU32 = AtomicU32::new(0);

/// The plugin whose stores tests hold.
#[derive(Debug)]
struct Held;

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct HeldConfig {
    number: u32,
}

impl Plugin for Held {
    type Role = Store;
    type Config = HeldConfig;
    const KIND: &'static str = "held";
    const SUMMARY: &'static str = "a store that the test holds";

    async fn open(config: HeldConfig, _: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        let place = PLACES.lock().unwrap().get(&config.number).cloned();
        match place {
            Some(Place::There(store)) => Ok(store),
            Some(Place::Away) => Err(OpenError::unavailable("cannot connect", "no route")),
            Some(Place::Silent) => std::future::pending().await,
            Some(Place::Panics) => panic!("in the opening of a tier"),
            None => Err(OpenError::config("number", "there is no such store")),
        }
    }
}

/// A tier of a test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tier(u32);

impl Tier {
    /// This store as a tier.
    pub(crate) fn of(store: Arc<dyn ProviderStore>) -> Self {
        let tier = Self::away();
        tier.arrives(store);
        tier
    }

    /// A tier that cannot be reached.
    pub(crate) fn away() -> Self {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        PLACES.lock().unwrap().insert(number, Place::Away);
        Self(number)
    }

    /// From now on its opening never ends.
    pub(crate) fn falls_silent(self) {
        PLACES.lock().unwrap().insert(self.0, Place::Silent);
    }

    /// From now on its opening panics.
    pub(crate) fn panics(self) {
        PLACES.lock().unwrap().insert(self.0, Place::Panics);
    }

    /// From now on it can be reached.
    pub(crate) fn arrives(self, store: Arc<dyn ProviderStore>) {
        PLACES.lock().unwrap().insert(self.0, Place::There(store));
    }

    pub(crate) fn table(self) -> Value {
        json!({ "kind": "held", "number": self.0 })
    }
}

pub(crate) fn memory() -> Arc<dyn ProviderStore> {
    Arc::new(Memory::new(&hydra_store_memory::Config::default()))
}

pub(crate) fn counting() -> Arc<CountingStore> {
    Arc::new(CountingStore::new(memory()))
}

/// Opens the plugin with this table.
pub(crate) async fn try_open(table: Value, purpose: Purpose) -> Result<Shop, OpenError> {
    let mut registry = Registry::default();
    registry.add::<Held>().add::<Memory>().add::<Tiered>();
    let registry = Arc::new(registry);
    let scope = Scope::new("unused").with_purpose(purpose).with_registry(Arc::clone(&registry));
    registry.find::<Store>("tiered").unwrap().open(table, &scope).await.map(Shop)
}

/// A tiered store over these, the last one last, with these settings.
pub(crate) async fn open_with(tiers: &[Tier], mut settings: Value) -> Shop {
    settings["tiers"] = tiers.iter().map(|tier| tier.table()).collect();
    try_open(settings, Purpose::Serve).await.unwrap_or_else(|error| panic!("{}", Causes(&error)))
}

/// A tiered store over these, the last one last.
pub(crate) async fn open<const N: usize>(stores: [Arc<dyn ProviderStore>; N]) -> Shop {
    open_with(&stores.map(Tier::of), json!({})).await
}

/// A store, and what tests ask it all the time.
#[derive(Debug, Clone)]
pub(crate) struct Shop(pub(crate) Arc<dyn ProviderStore>);

impl Shop {
    pub(crate) async fn try_insert(
        &self,
        records: &[ProviderRecord],
        now: UnixSeconds,
    ) -> Result<Inserted, StoreError> {
        self.0.insert(records.into(), now).await
    }

    /// Inserts records, all of which are taken.
    pub(crate) async fn insert(&self, records: &[ProviderRecord], now: UnixSeconds) {
        assert_eq!(self.try_insert(records, now).await.unwrap(), Inserted::All);
    }

    /// The outcome of each record.
    pub(crate) async fn outcomes(&self, records: &[ProviderRecord]) -> Vec<RecordOutcome> {
        match self.try_insert(records, NOW).await.unwrap() {
            Inserted::All => vec![RecordOutcome::Taken; records.len()],
            Inserted::Each(outcomes) => outcomes,
        }
    }

    pub(crate) async fn try_read(
        &self,
        keys: &[ContentKey],
        now: UnixSeconds,
        limit: u32,
    ) -> Result<Vec<Found>, StoreError> {
        self.0.providers(keys.into(), now, NonZeroU32::new(limit).unwrap()).await
    }

    /// The providers of the key of this number.
    pub(crate) async fn read(&self, number: u64) -> Vec<Provider> {
        self.read_at(number, NOW, LIMIT).await
    }

    pub(crate) async fn read_at(&self, number: u64, now: UnixSeconds, limit: u32) -> Vec<Provider> {
        let found = self.try_read(&[key(number)], now, limit).await.unwrap();
        assert_eq!(found.len(), 1);
        found.into_iter().next().unwrap().known().unwrap()
    }

    /// How many providers the key of this number has.
    pub(crate) async fn count(&self, number: u64) -> usize {
        self.read(number).await.len()
    }
}

pub(crate) fn later(seconds: u32) -> UnixSeconds {
    UnixSeconds(NOW.0 + seconds)
}

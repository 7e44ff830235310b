//! A suite that nothing can fail is worth nothing: stores that break one rule each, and must be caught.

use super::cases;
use crate::place::{Lab, Place};
use hydra_api::{
    Addresses, ContentKey, Estimate, Found, Inserted, OpenError, Plugin, Provider, ProviderRecord,
    ProviderStore, Purged, Scope, Store, StoreError, StoreProfile, UnixSeconds, async_trait,
};
use hydra_store_memory::{Config, Memory};
use std::num::NonZeroU32;
use std::sync::Arc;

/// A store in memory that breaks rule S`RULE`.
#[derive(Debug)]
struct Sabotaged<const RULE: u8>(Memory);

impl<const RULE: u8> Plugin for Sabotaged<RULE> {
    type Role = Store;
    type Config = Config;
    const KIND: &'static str = "sabotaged";
    const SUMMARY: &'static str = "breaks a rule";
    async fn open(config: Config, _: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        Ok(Arc::new(Self(Memory::new(&config))))
    }
}

#[async_trait]
impl<const RULE: u8> ProviderStore for Sabotaged<RULE> {
    fn profile(&self) -> StoreProfile {
        self.0.profile()
    }

    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError> {
        let mut changed = batch.to_vec();
        match RULE {
            7 => {
                // Nothing told is taken for something told.
                let silent = changed.iter_mut().filter(|record| record.addresses.is_empty());
                silent.for_each(|record| record.addresses = Addresses::fitting([[1, 2]]));
            }
            8 => {
                let mut named = std::collections::BTreeSet::new();
                changed.retain(|record| named.insert((record.key, record.provider)));
            }
            9 => changed.truncate(1000),
            15 => changed.iter_mut().for_each(|record| record.key = first_bytes(&record.key)),
            _ => {}
        }
        self.0.insert(changed.into(), now).await?;
        Ok(Inserted::All)
    }

    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        let shifted = if RULE == 4 { UnixSeconds(now.0 - 1) } else { now };
        let found = self.0.providers(keys, shifted, limit).await?;
        let mut entries: Vec<Vec<Provider>> = found.into_iter().filter_map(Found::known).collect();
        match RULE {
            2 => entries.iter_mut().flatten().for_each(|one| one.expires = UnixSeconds(one.expires.0 - 1)),
            3 => entries.reverse(),
            5 => entries.iter_mut().for_each(|entry| entry.reverse()),
            6 => entries.iter_mut().flatten().for_each(|one| one.addresses_at = UnixSeconds(0)),
            _ => {}
        }
        Ok(entries.into_iter().map(Found::Known).collect())
    }

    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        let now = if RULE == 10 { UnixSeconds(now.0 + 100_000) } else { now };
        self.0.purge_expired(now, limit).await
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        self.0.estimate().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        if RULE == 12 { Ok(()) } else { self.0.close().await }
    }
}

fn first_bytes(key: &ContentKey) -> ContentKey {
    let bytes = key.as_bytes();
    crate::given::content_key(&bytes[..bytes.len().min(34)])
}

/// The rules of which a case found fault.
async fn faults<const RULE: u8>() -> Vec<&'static str> {
    let mut faults = Vec::new();
    for case in cases() {
        let lab = Lab::new::<Sabotaged<RULE>>(Place::with_defaults()).unwrap();
        if (case.run)(Arc::new(lab)).await.is_err() {
            faults.push(case.rule.id);
        }
    }
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_keeps_all_rules_passes() {
    assert_eq!(faults::<0>().await, Vec::<&str>::new());
}

macro_rules! caught {
    ($($name:ident $rule:literal)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let faults = faults::<$rule>().await;
            assert!(faults.contains(&concat!("S", $rule)), "only these found fault: {faults:?}");
        }
    )*};
}
caught! {
    s2_a_store_that_shortens_lives_is_caught 2
    s3_a_store_that_answers_out_of_order_is_caught 3
    s4_a_store_that_returns_the_expired_is_caught 4
    s5_a_store_that_returns_the_freshest_last_is_caught 5
    s6_a_store_that_does_not_say_when_addresses_were_told_is_caught 6
    s7_a_store_that_loses_addresses_is_caught 7
    s8_a_store_that_leaves_out_what_is_named_twice_is_caught 8
    s9_a_store_that_takes_a_part_of_a_batch_is_caught 9
    s10_a_store_that_purges_the_living_is_caught 10
    s12_a_store_that_does_not_close_is_caught 12
    s15_a_store_that_cuts_keys_is_caught 15
}

//! The store: what the node calls.

use crate::config::{Config, Writes};
use crate::figures;
use crate::open;
use crate::tiers::Tiers;
use crate::{insert, read, upkeep};
use hydra_api::{
    ContentKey, Cursor, Deleted, Deletion, Estimate, Expiry, Found, Inserted, Metric, OpenError, Page,
    Plugin, ProviderRecord, ProviderStore, Purged, Scope, Store, StoreError, StoreProfile, UnixSeconds,
    ValueStore, async_trait,
};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Keeps records in several stores.
#[derive(Debug)]
pub struct Tiered {
    pub(crate) tiers: Tiers,
    closed: AtomicBool,
}

impl Plugin for Tiered {
    type Role = Store;
    type Config = Config;
    const KIND: &'static str = "tiered";
    const SUMMARY: &'static str =
        "keeps records in several stores: reads go down the list and fill it upwards, the last one decides";

    fn check_files(config: &Config, scope: &Scope) -> Result<(), OpenError> {
        open::refuse_twice(&config.tiers, scope)
    }

    async fn open(config: Config, scope: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        let tiers = open::open(&config, scope).await?;
        Ok(Arc::new(Self { tiers, closed: AtomicBool::new(false) }))
    }
}

impl Tiered {
    pub(crate) fn open_for(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::closed(operation)) } else { Ok(()) }
    }
}

#[async_trait]
impl ProviderStore for Tiered {
    /// That of the last tier, with as many calls at a time and as long batches as every tier in use takes: one call at a time goes
    /// to each tier under a permit.
    fn profile(&self) -> StoreProfile {
        let last = self.tiers.last.profile();
        let (mut all, mut reads, mut writes) = (last.concurrency_max, last.reads, last.writes);
        let (mut expiry, mut slack) = (last.expiry, Duration::ZERO);
        for store in self.tiers.uppers.iter().filter_map(|upper| upper.in_use()) {
            let upper = store.profile();
            all = all.min(upper.concurrency_max);
            reads.concurrency_max = reads.concurrency_max.min(upper.reads.concurrency_max);
            reads.batch_len_max = reads.batch_len_max.min(upper.reads.batch_len_max);
            if self.tiers.writes == Writes::All {
                writes.concurrency_max = writes.concurrency_max.min(upper.writes.concurrency_max);
                writes.batch_len_max = writes.batch_len_max.min(upper.writes.batch_len_max);
            }
            if upper.expiry == Expiry::ByPurge {
                expiry = Expiry::ByPurge;
            }
            slack = slack.max(upper.refresh_slack);
        }
        StoreProfile::builder()
            .concurrency_max(all)
            .read_concurrency_max(reads.concurrency_max)
            .read_batch_len_max(reads.batch_len_max)
            .write_concurrency_max(writes.concurrency_max)
            .write_batch_len_max(writes.batch_len_max)
            .durability(last.durability)
            .sharing(last.sharing)
            .sharers(last.sharers)
            .expiry(expiry)
            // What the last tier has left behind is filled into a tier that leaves as much behind again.
            .refresh_slack(last.refresh_slack.saturating_add(slack))
            .build()
    }

    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError> {
        self.open_for("insert")?;
        insert::insert(&self.tiers, batch, now).await
    }

    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        self.open_for("providers")?;
        read::providers(&self.tiers, &keys, now, limit).await
    }

    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.open_for("purge_expired")?;
        upkeep::purge_expired(&self.tiers, now, limit).await
    }

    fn expire_by(&self, latest: UnixSeconds) {
        let uppers = self.tiers.uppers.iter().filter_map(|upper| upper.in_use());
        uppers.for_each(|store| store.expire_by(latest));
        self.tiers.last.expire_by(latest);
    }

    /// The last tier decides what is known.
    fn unknown_because(&self) -> Option<String> {
        self.tiers.last.unknown_because()
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        self.open_for("estimate")?;
        upkeep::estimate(&self.tiers).await
    }

    async fn delete(&self, deletion: Deletion, limit: NonZeroU32) -> Result<Deleted, StoreError> {
        self.open_for("delete")?;
        upkeep::delete(&self.tiers, deletion, limit).await
    }

    /// The last tier has all records.
    async fn scan(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Page, StoreError> {
        self.open_for("scan")?;
        self.tiers.last.scan(from, now, limit).await
    }

    /// If the last tier keeps value records.
    fn values(&self) -> Option<&dyn ValueStore> {
        self.tiers.last.values().map(|_| self as &dyn ValueStore)
    }

    fn metrics(&self) -> Vec<Metric> {
        figures::of(&self.tiers)
    }

    fn remarks(&self) -> Vec<String> {
        let uppers = self.tiers.uppers.iter().map(|upper| upper.open());
        let tiers = uppers.chain([Some(&*self.tiers.last)]).enumerate();
        let of_tier = |(place, store): (usize, Option<&dyn ProviderStore>)| {
            let remarks = store.map(ProviderStore::remarks).unwrap_or_default();
            remarks.into_iter().map(move |remark| format!("tiers[{place}]: {remark}"))
        };
        tiers.flat_map(of_tier).collect()
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.closed.store(true, Ordering::Release);
        upkeep::close(&self.tiers).await
    }
}

//! Small plugins with a key of every sort.

use hydra_api::{
    Admission, AdmissionPolicy, ContentKey, Estimate, EstimateMethod, Found, HeadCount, HeadLease,
    HeadPreview, HeldSlot, IdAllocator, IdError, Identity, Ids, Inserted, Judgement, Load, Nested, OpenError,
    Outcome, PeerId, Plugin, Progress, ProviderRecord, ProviderStore, PurgeProgress, Purged, RecordOutcome,
    Registry, Renewal, Request, Scope, SecretSource, Store, StoreError, StoreProfile, Token, UnixSeconds,
    Verdict, async_trait,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What every test's registry holds.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry
        .add::<Shelf>()
        .add::<Pair>()
        .add::<Row>()
        .add::<Bucket>()
        .add::<Depth>()
        .add::<Moody>()
        .add::<Numbered>();
    registry
}

/// A store over two others, each of which may be a pair in its turn.
#[derive(Debug)]
pub(crate) struct Pair;

/// The pair's table.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PairConfig {
    /// Asked first.
    pub near: Nested<Store>,
    /// Asked then.
    pub far: Nested<Store>,
}

impl Default for PairConfig {
    fn default() -> Self {
        Self { near: Nested::of(Shelf::KIND), far: Nested::of(Shelf::KIND) }
    }
}

impl Plugin for Pair {
    type Role = Store;
    type Config = PairConfig;
    const KIND: &'static str = "pair";
    const SUMMARY: &'static str = "A store over two others.";
    async fn open(config: PairConfig, scope: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        scope.open("near", &config.near).await?;
        scope.open("far", &config.far).await
    }
}

/// A store over a list of others.
#[derive(Debug)]
pub(crate) struct Row;

/// The row's table.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RowConfig {
    /// Asked in this order.
    #[schemars(length(min = 1, max = 3))]
    pub stores: Vec<Nested<Store>>,
}

impl Default for RowConfig {
    fn default() -> Self {
        Self { stores: vec![Nested::of(Shelf::KIND)] }
    }
}

impl Plugin for Row {
    type Role = Store;
    type Config = RowConfig;
    const KIND: &'static str = "row";
    const SUMMARY: &'static str = "A store over a list of others.";
    async fn open(config: RowConfig, scope: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        for (place, store) in config.stores.iter().enumerate() {
            scope.open(&format!("stores[{place}]"), store).await?;
        }
        Ok(Arc::new(Shelf))
    }
}

#[derive(Debug)]
pub(crate) struct Shelf;

/// The shelf's table.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ShelfConfig {
    /// How many records fit.
    #[schemars(range(min = 1, max = 1000))]
    pub records_max: u32,
    /// How it is sorted.
    pub order: Order,
    /// The secret of its lock.
    pub secret: Option<SecretSource>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// By key.
    ByKey,
    /// By age.
    ByAge,
}

impl Default for ShelfConfig {
    fn default() -> Self {
        Self { records_max: 100, order: Order::ByKey, secret: None }
    }
}

impl Plugin for Shelf {
    type Role = Store;
    type Config = ShelfConfig;
    const KIND: &'static str = "fjall";
    const SUMMARY: &'static str = "A shelf that holds nothing.";
    async fn open(config: ShelfConfig, _: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        if let Some(secret) = config.secret {
            secret.read().map_err(|cause| OpenError::config("secret", cause.to_string()))?;
        }
        if config.records_max == 7 {
            return Err(OpenError::unavailable("the shelf is in use", "another process has it"));
        }
        Ok(Arc::new(Shelf))
    }
}

#[async_trait]
impl ProviderStore for Shelf {
    fn profile(&self) -> StoreProfile {
        StoreProfile::builder().build()
    }
    async fn insert(&self, batch: Arc<[ProviderRecord]>, _: UnixSeconds) -> Result<Inserted, StoreError> {
        Ok(Inserted::Each(vec![RecordOutcome::NoRoom; batch.len()]))
    }
    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        _: UnixSeconds,
        _: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        Ok(vec![Found::Known(Vec::new()); keys.len()])
    }
    async fn purge_expired(&self, _: UnixSeconds, _: NonZeroU32) -> Result<Purged, StoreError> {
        Ok(Purged::new(0, PurgeProgress::Done))
    }
    async fn estimate(&self) -> Result<Estimate, StoreError> {
        Ok(Estimate::new(0, Duration::ZERO, EstimateMethod::Counted))
    }
    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Bucket;

/// The bucket's table.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BucketConfig {
    /// What one peer may do.
    pub peer: Budget,
}

/// A budget.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Budget {
    /// Requests a second.
    #[schemars(range(min = 1))]
    pub per_second: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { per_second: 10 }
    }
}

impl Plugin for Bucket {
    type Role = Admission;
    type Config = BucketConfig;
    const KIND: &'static str = "token-bucket";
    const SUMMARY: &'static str = "Admits everything.";
    async fn open(_: BucketConfig, _: &Scope) -> Result<Arc<dyn AdmissionPolicy>, OpenError> {
        Ok(Arc::new(Bucket))
    }
}

impl AdmissionPolicy for Bucket {
    fn admit(&self, _: &Request<'_>, _: &Load, _: Instant) -> Judgement {
        Verdict::Admit.into()
    }
    fn settle(&self, _: &Request<'_>, _: Token, _: &Outcome, _: Instant) {}
    fn reasons(&self) -> Vec<Cow<'static, str>> {
        Vec::new()
    }
}

#[derive(Debug)]
pub(crate) struct Depth;

impl Plugin for Depth {
    type Role = Admission;
    type Config = BucketConfig;
    const KIND: &'static str = "queue-depth";
    const SUMMARY: &'static str = "Admits everything too.";
    async fn open(_: BucketConfig, _: &Scope) -> Result<Arc<dyn AdmissionPolicy>, OpenError> {
        Ok(Arc::new(Bucket))
    }
}

/// A policy that has a key of its own which the node takes.
#[derive(Debug)]
pub(crate) struct Moody;

/// Its table.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MoodyConfig {
    /// Never seen.
    pub mode: String,
}

impl Plugin for Moody {
    type Role = Admission;
    type Config = MoodyConfig;
    const KIND: &'static str = "moody";
    const SUMMARY: &'static str = "Has a mode.";
    async fn open(_: MoodyConfig, _: &Scope) -> Result<Arc<dyn AdmissionPolicy>, OpenError> {
        Ok(Arc::new(Bucket))
    }
}

#[derive(Debug)]
pub(crate) struct Numbered;

/// The allocator's table.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NumberedConfig {
    /// The first port.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
}

impl Plugin for Numbered {
    type Role = Ids;
    type Config = NumberedConfig;
    const KIND: &'static str = "balanced";
    const SUMMARY: &'static str = "Slot n has the seed n.";
    async fn open(_: NumberedConfig, _: &Scope) -> Result<Arc<dyn IdAllocator>, OpenError> {
        Ok(Arc::new(Numbered))
    }
}

#[async_trait]
impl IdAllocator for Numbered {
    async fn preview(&self, wanted: HeadCount, _: Progress) -> Result<Vec<HeadPreview>, IdError> {
        let preview = |HeadLease { slot, peer, port, .. }| HeadPreview::new(slot, peer, port);
        Ok((0..wanted.get()).map(lease).map(preview).collect())
    }
    async fn acquire(&self, wanted: HeadCount) -> Result<Vec<HeadLease>, IdError> {
        Ok((0..wanted.get()).map(lease).collect())
    }
    async fn renew(&self, _: &[HeldSlot]) -> Result<Renewal, IdError> {
        Ok(Renewal::default())
    }
    async fn release(&self, _: &[HeldSlot]) -> Result<(), IdError> {
        Ok(())
    }
}

fn lease(slot: u32) -> HeadLease {
    let seed = [slot as u8; 32];
    let key = libp2p::identity::Keypair::ed25519_from_bytes(seed).unwrap();
    let peer = PeerId::new(&key.public().to_peer_id().to_bytes()).unwrap();
    HeadLease::new(slot, peer, Identity::from_ed25519_seed(seed), 30_000 + slot as u16)
}

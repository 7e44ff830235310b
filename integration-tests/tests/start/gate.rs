//! A store that opens when it likes, a store that counts how often it is closed, and an allocator that shows how far a start is.

use hydra_api::{
    ContentKey, Estimate, Found, HeadCount, HeadLease, HeadPreview, HeldSlot, IdAllocator, IdError, Inserted,
    OpenError, Plugin, Progress, ProviderRecord, ProviderStore, Purged, Renewal, Scope, Store, StoreError,
    StoreProfile, UnixSeconds, ValueStore, async_trait,
};
use hydra_conformance::doubles::LeasedIds;
use hydra_store_memory::Memory;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// How an attempt to open a [`Gate`] goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Refused,
    /// It never ends.
    Hangs,
    /// It holds up its thread for some seconds.
    Blocks,
    Panics,
    Damaged,
    Opens,
}

/// A store in memory whose attempts to open go as a test has said.
#[derive(Debug)]
pub(crate) struct Gate;

/// The gates that were made: what is to come, and how many attempts there were.
static GATES: Mutex<Vec<(Vec<Attempt>, usize)>> = Mutex::new(Vec::new());

/// Attempts that hold up their threads now.
static BLOCKED: AtomicUsize = AtomicUsize::new(0);
/// Attempts that began meanwhile.
static OVERLAPS: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GateConfig {
    /// Which gate.
    gate: usize,
}

impl Gate {
    /// A gate whose attempts go like this, the last one again and again. Returns what its config calls it.
    pub(crate) fn make(attempts: &[Attempt]) -> String {
        let mut gates = GATES.lock().unwrap();
        gates.push((attempts.to_vec(), 0));
        (gates.len() - 1).to_string()
    }

    /// How many attempts began while one held up its thread.
    pub(crate) fn overlaps() -> usize {
        OVERLAPS.load(Ordering::SeqCst)
    }

    /// How many attempts there were.
    pub(crate) fn attempts(gate: &str) -> usize {
        GATES.lock().unwrap()[gate.parse::<usize>().unwrap()].1
    }
}

impl Plugin for Gate {
    type Role = Store;
    type Config = GateConfig;
    const KIND: &'static str = "gate";
    const SUMMARY: &'static str = "opens when it likes";

    async fn open(config: GateConfig, scope: &Scope) -> Result<Arc<dyn ProviderStore>, OpenError> {
        let attempt = {
            let (attempts, made) = &mut GATES.lock().unwrap()[config.gate];
            *made += 1;
            attempts[(*made - 1).min(attempts.len() - 1)]
        };
        OVERLAPS.fetch_add(BLOCKED.load(Ordering::SeqCst), Ordering::SeqCst);
        match attempt {
            Attempt::Refused => Err(OpenError::unavailable("cannot connect", "refused")),
            Attempt::Hangs => std::future::pending().await,
            Attempt::Blocks => {
                BLOCKED.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_secs(4));
                BLOCKED.fetch_sub(1, Ordering::SeqCst);
                std::future::pending().await
            }
            Attempt::Panics => panic!("as it is told to"),
            Attempt::Damaged => Err(OpenError::corrupt("cannot read a page", "XX001")),
            Attempt::Opens => Memory::open(Default::default(), scope).await,
        }
    }
}

/// Counts how often a store is closed.
#[derive(Debug)]
pub(crate) struct Closing {
    inner: Arc<dyn ProviderStore>,
    closes: AtomicUsize,
}

impl Closing {
    pub(crate) fn around(inner: Arc<dyn ProviderStore>) -> Self {
        Self { inner, closes: AtomicUsize::new(0) }
    }

    pub(crate) fn closes(&self) -> usize {
        self.closes.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl ProviderStore for Closing {
    fn profile(&self) -> StoreProfile {
        self.inner.profile()
    }
    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError> {
        self.inner.insert(batch, now).await
    }
    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        self.inner.providers(keys, now, limit).await
    }
    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.inner.purge_expired(now, limit).await
    }
    async fn estimate(&self) -> Result<Estimate, StoreError> {
        self.inner.estimate().await
    }
    fn values(&self) -> Option<&dyn ValueStore> {
        self.inner.values()
    }
    fn metrics(&self) -> Vec<hydra_api::Metric> {
        self.inner.metrics()
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.closes.fetch_add(1, Ordering::SeqCst);
        self.inner.close().await
    }
}

/// How far a start gets before it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// To its end.
    None,
    /// The leases are being acquired.
    Acquired,
    /// The heads listen on ports that are not those of their leases. The call never ends.
    Renewing,
}

/// The allocator of a fleet that shows how far a start is, and knows what is held.
#[derive(Debug)]
pub(crate) struct Ids {
    pub(crate) inner: LeasedIds,
    step: Step,
    reached: Arc<Notify>,
    held: Mutex<BTreeSet<u32>>,
}

impl Ids {
    pub(crate) fn new(inner: LeasedIds, step: Step) -> Self {
        Self { inner, step, reached: Arc::default(), held: Mutex::default() }
    }

    /// Ends when the step is reached.
    pub(crate) fn reached(&self) -> impl Future<Output = ()> + use<> {
        let reached = Arc::clone(&self.reached);
        async move {
            reached.notified().await;
            // The call is under way.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The slots that were given and not released.
    pub(crate) fn held(&self) -> Vec<u32> {
        self.held.lock().unwrap().iter().copied().collect()
    }
}

#[async_trait]
impl IdAllocator for Ids {
    async fn preview(&self, wanted: HeadCount, progress: Progress) -> Result<Vec<HeadPreview>, IdError> {
        self.inner.preview(wanted, progress).await
    }
    async fn acquire(&self, wanted: HeadCount) -> Result<Vec<HeadLease>, IdError> {
        if self.step == Step::Acquired {
            self.reached.notify_one();
        }
        let mut leases = self.inner.acquire(wanted).await?;
        self.held.lock().unwrap().extend(leases.iter().map(|lease| lease.slot));
        // The system chooses another port, which is to be reported.
        leases.iter_mut().for_each(|lease| lease.port = 0);
        Ok(leases)
    }
    async fn renew(&self, held: &[HeldSlot]) -> Result<Renewal, IdError> {
        if self.step == Step::Renewing {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
        self.inner.renew(held).await
    }
    async fn release(&self, held: &[HeldSlot]) -> Result<(), IdError> {
        self.inner.release(held).await?;
        held.iter().for_each(|held| {
            self.held.lock().unwrap().remove(&held.slot);
        });
        Ok(())
    }
}

//! A store that can be slow, frozen, failing or panicking and keeps account; a policy that keeps account; dice.

use hydra_api::{
    Addresses, AdmissionPolicy, ContentKey, Durability, Estimate, EstimateMethod, Inserted, Load, Outcome,
    PeerId, Provider, ProviderRecord, ProviderStore, PurgeProgress, Purged, Request, Sharing, StoreError,
    StoreErrorKind, StoreProfile, UnixSeconds, Verdict, async_trait,
};
use hydra_engine::{Caller, Clock, Config, Desk, NamedPolicy, NamedStore, PolicyMode, Watch};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::sleep;

/// The date on which every test begins.
pub(crate) const START: UnixSeconds = UnixSeconds(1_800_000_000);

/// How the store behaves, call by call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Takes(Duration),
    Frozen,
    Fails,
    Panics,
}

#[derive(Debug)]
pub(crate) struct Store {
    concurrency_max: usize,
    batch_len_max: usize,
    mood: watch::Sender<Mood>,
    running: AtomicUsize,
    running_max: AtomicUsize,
    log: Mutex<Log>,
}

/// What the store was asked.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) records: HashMap<ContentKey, BTreeMap<PeerId, (Addresses, UnixSeconds)>>,
    pub(crate) reads: Vec<ContentKey>,
    pub(crate) limits: Vec<u32>,
    pub(crate) batches: Vec<Vec<ProviderRecord>>,
    pub(crate) purges: usize,
    pub(crate) estimates: usize,
    pub(crate) closed: usize,
}

impl Store {
    pub(crate) fn new(concurrency_max: usize, batch_len_max: usize) -> Arc<Self> {
        Arc::new(Self {
            concurrency_max,
            batch_len_max,
            mood: watch::Sender::new(Mood::Takes(Duration::ZERO)),
            running: AtomicUsize::new(0),
            running_max: AtomicUsize::new(0),
            log: Mutex::default(),
        })
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    pub(crate) fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    pub(crate) fn running_max(&self) -> usize {
        self.running_max.load(Ordering::SeqCst)
    }

    pub(crate) fn knows(&self, key: &[u8], provider: PeerId) -> bool {
        self.log().records.get(key).is_some_and(|providers| providers.contains_key(&provider))
    }

    /// One call: counts itself, and behaves as the mood is when it begins (a frozen one when it is thawed).
    async fn call(&self, operation: &'static str) -> Result<(), StoreError> {
        let _running = Running::enter(self);
        let mut mood = self.mood.subscribe();
        let mood = *mood.wait_for(|mood| *mood != Mood::Frozen).await.expect("the sender is in self");
        match mood {
            Mood::Takes(Duration::ZERO) | Mood::Frozen => tokio::task::yield_now().await,
            Mood::Takes(time) => sleep(time).await,
            Mood::Fails => return Err(StoreError::new(StoreErrorKind::Unavailable, operation)),
            // A panic past the hook, which would fill the output.
            Mood::Panics => std::panic::resume_unwind(Box::new("as told")),
        }
        Ok(())
    }
}

struct Running<'a>(&'a Store);

impl<'a> Running<'a> {
    fn enter(store: &'a Store) -> Self {
        let running = store.running.fetch_add(1, Ordering::SeqCst) + 1;
        store.running_max.fetch_max(running, Ordering::SeqCst);
        Self(store)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl ProviderStore for Store {
    fn profile(&self) -> StoreProfile {
        StoreProfile {
            concurrency_max: NonZeroUsize::new(self.concurrency_max).unwrap(),
            batch_len_max: NonZeroUsize::new(self.batch_len_max).unwrap(),
            durability: Durability::InMemory,
            sharing: Sharing::OneProcess,
        }
    }

    async fn insert(&self, batch: &[ProviderRecord], _now: UnixSeconds) -> Result<Inserted, StoreError> {
        self.log().batches.push(batch.to_vec());
        self.call("insert").await?;
        let mut log = self.log();
        for record in batch {
            let known = log.records.entry(record.key).or_default().entry(record.provider);
            let (addresses, expires) = known.or_default();
            *expires = (*expires).max(record.expires);
            if !record.addresses.is_empty() {
                *addresses = record.addresses.clone();
            }
        }
        Ok(Inserted { accepted: batch.len() as u64, dropped: 0 })
    }

    async fn providers(
        &self,
        keys: &[ContentKey],
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Vec<Provider>>, StoreError> {
        self.log().limits.push(limit.get());
        self.call("providers").await?;
        let mut log = self.log();
        log.reads.extend(keys);
        let of = |key: &ContentKey| {
            let all = log.records.get(key).into_iter().flatten();
            let live = all.filter(|(_, (_, expires))| *expires > now);
            let provider = |(peer, (addresses, expires)): (&PeerId, &(Addresses, UnixSeconds))| Provider {
                peer: *peer,
                addresses: addresses.clone(),
                addresses_at: START,
                expires: *expires,
            };
            live.map(provider).take(limit.get() as usize).collect()
        };
        Ok(keys.iter().map(of).collect())
    }

    async fn purge_expired(&self, _now: UnixSeconds, _limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.log().purges += 1;
        self.call("purge_expired").await?;
        Ok(Purged { removed: 0, progress: PurgeProgress::Done })
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        self.log().estimates += 1;
        self.call("estimate").await?;
        let records = self.log().records.values().map(BTreeMap::len).sum::<usize>() as u64;
        Ok(Estimate { records, age: Duration::ZERO, method: EstimateMethod::Counted })
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.call("close").await?;
        self.log().closed += 1;
        Ok(())
    }
}

type Judge = dyn Fn(&Request, &Load) -> Verdict + Send + Sync;

/// A policy that judges as told and writes down, by key, what became of each request.
pub(crate) struct Ledger {
    judge: Box<Judge>,
    pub(crate) admitted: Mutex<HashMap<Vec<u8>, usize>>,
    pub(crate) settled: Mutex<HashMap<Vec<u8>, Vec<Outcome>>>,
}

impl Ledger {
    pub(crate) fn new(judge: impl Fn(&Request, &Load) -> Verdict + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { judge: Box::new(judge), admitted: Mutex::default(), settled: Mutex::default() })
    }

    pub(crate) fn admits_all() -> Arc<Self> {
        Self::new(|_, _| Verdict::Admit)
    }

    pub(crate) fn named(self: &Arc<Self>, name: &str) -> NamedPolicy {
        NamedPolicy { name: name.to_owned(), mode: PolicyMode::Enforce, policy: self.clone() }
    }

    pub(crate) fn in_shadow(self: &Arc<Self>, name: &str) -> NamedPolicy {
        NamedPolicy { mode: PolicyMode::Shadow, ..self.named(name) }
    }

    /// The only outcome of the only request for this key.
    pub(crate) fn outcome(&self, key: &[u8]) -> Outcome {
        assert_eq!(self.admitted.lock().unwrap().get(key), Some(&1), "admitted once");
        let settled = self.settled.lock().unwrap();
        let outcomes = settled.get(key).expect("it was settled");
        assert_eq!(outcomes.len(), 1, "settled once: {outcomes:?}");
        outcomes[0]
    }

    /// A1: as many ends as beginnings, for every key.
    pub(crate) fn assert_balanced(&self) {
        let (admitted, settled) = (self.admitted.lock().unwrap(), self.settled.lock().unwrap());
        assert_eq!(admitted.len(), settled.len());
        for (key, count) in admitted.iter() {
            assert_eq!(settled.get(key).map(Vec::len), Some(*count), "requests for {key:?}");
        }
    }
}

impl AdmissionPolicy for Ledger {
    fn admit(&self, request: &Request, load: &Load, _now: Instant) -> Verdict {
        let verdict = (self.judge)(request, load);
        if !matches!(verdict, Verdict::Decline(_)) {
            *self.admitted.lock().unwrap().entry(request.key.to_vec()).or_default() += 1;
        }
        verdict
    }

    fn settle(&self, request: &Request, outcome: &Outcome, _now: Instant) {
        self.settled.lock().unwrap().entry(request.key.to_vec()).or_default().push(*outcome);
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ledger")
    }
}

/// A desk on the paused clock.
pub(crate) fn open(store: &Arc<Store>, policies: Vec<NamedPolicy>, config: Config) -> Arc<Desk> {
    open_watched(store, policies, config, None)
}

pub(crate) fn open_watched(
    store: &Arc<Store>,
    policies: Vec<NamedPolicy>,
    config: Config,
    watch: Option<Arc<dyn Watch>>,
) -> Arc<Desk> {
    let store = NamedStore { name: "test".to_owned(), store: store.clone() };
    Desk::open(store, policies, config, Clock::starting_at(START), watch)
}

/// A config with this many permits; the rest as by default.
pub(crate) fn permits(permits: u32) -> Config {
    Config { permits_max: Some(permits), ..Config::default() }
}

/// The multihash of a key with this number.
pub(crate) fn key(number: u64) -> Vec<u8> {
    let mut key = vec![0x12, 32];
    // Scattered, so that keys in the order of their numbers are not sorted.
    key.extend(Dice(number).next().to_be_bytes());
    key.extend(number.to_be_bytes());
    key.resize(34, 0);
    key
}

pub(crate) fn peer(number: u64) -> PeerId {
    let mut id = [1; 38];
    id[..8].copy_from_slice(&number.to_be_bytes());
    PeerId::new(&id).unwrap()
}

pub(crate) fn caller(number: u64) -> Caller {
    Caller { peer: peer(number), address: None, head: 0 }
}

pub(crate) fn addresses(number: u64) -> Addresses {
    Addresses::fitting([number.to_be_bytes()])
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// SplitMix64 (Steele, Lea and Flood 2014): enough chance for a simulation, the same on every machine.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// From `TEST_SEED`, else from the clock; the seed is printed.
    pub(crate) fn seeded() -> Self {
        let seed = match std::env::var("TEST_SEED") {
            Ok(seed) => seed.parse().expect("TEST_SEED is a number"),
            Err(_) => std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64),
        };
        println!("TEST_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

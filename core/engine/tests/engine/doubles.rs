//! A store in memory that can be slow, frozen, failing or panicking and keeps account; a policy that keeps account; dice.

use hydra_api::{
    Addresses, AdmissionPolicy, ContentKey, Estimate, Found, Inserted, Judgement, Load, Outcome, PeerId,
    ProviderRecord, ProviderStore, Purged, RecordOutcome, Request, StoreError, StoreErrorKind, StoreProfile,
    Token, UnixSeconds, Verdict, async_trait,
};
use hydra_engine::{Caller, Clock, Config, Engine, NamedPolicy, NamedStore, PolicyMode, Watch};
use hydra_store_memory::Memory;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    Fails(StoreErrorKind),
    Panics,
}

/// Fails as a store does that cannot be reached.
pub(crate) const FAILS: Mood = Mood::Fails(StoreErrorKind::Unavailable);

#[derive(Debug)]
pub(crate) struct Store {
    inner: Memory,
    profile: StoreProfile,
    reads: watch::Sender<Mood>,
    writes: watch::Sender<Mood>,
    forgets_half: AtomicBool,
    running: AtomicUsize,
    running_max: AtomicUsize,
    log: Mutex<Log>,
}

/// What the store was asked.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The keys of reads that succeeded.
    pub(crate) reads: Vec<ContentKey>,
    /// The limits of reads that began: one for each call.
    pub(crate) limits: Vec<u32>,
    /// The records of inserts that succeeded.
    pub(crate) written: HashSet<(ContentKey, PeerId)>,
    /// The batches of inserts that began.
    pub(crate) batches: Vec<Vec<ProviderRecord>>,
    pub(crate) purges: Vec<UnixSeconds>,
    pub(crate) estimates: usize,
    pub(crate) closed: usize,
}

impl Store {
    pub(crate) fn new(concurrency_max: usize, batch_len_max: usize) -> Arc<Self> {
        let len = |len| NonZeroUsize::new(len).unwrap();
        let profile = StoreProfile::builder()
            .concurrency_max(len(concurrency_max))
            .read_batch_len_max(len(batch_len_max))
            .write_batch_len_max(len(batch_len_max));
        Self::with_profile(profile.build())
    }

    pub(crate) fn with_profile(profile: StoreProfile) -> Arc<Self> {
        let calm = || watch::Sender::new(Mood::Takes(Duration::ZERO));
        Arc::new(Self {
            inner: Memory::new(&hydra_store_memory::Config::default()),
            profile,
            reads: calm(),
            writes: calm(),
            forgets_half: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            running_max: AtomicUsize::new(0),
            log: Mutex::default(),
        })
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.reads.send_replace(mood);
        self.writes.send_replace(mood);
    }

    pub(crate) fn set_reads(&self, mood: Mood) {
        self.reads.send_replace(mood);
    }

    pub(crate) fn set_writes(&self, mood: Mood) {
        self.writes.send_replace(mood);
    }

    /// Whether of every other key nothing is known, as when a part of the store is down.
    pub(crate) fn forget_half(&self, forgets: bool) {
        self.forgets_half.store(forgets, Ordering::SeqCst);
    }

    fn has_forgotten(&self, key: &ContentKey) -> bool {
        self.forgets_half.load(Ordering::SeqCst)
            && key.as_bytes().last_chunk::<24>().is_some_and(|end| end[7] % 2 == 0)
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

    /// Puts a record into the store behind the engine's back, as another process would.
    pub(crate) fn put(&self, record: ProviderRecord, now: UnixSeconds) {
        let inserted = futures::executor::block_on(self.inner.insert([record].into(), now));
        assert_eq!(inserted.unwrap(), Inserted::All);
    }

    /// Whether the record was written.
    pub(crate) fn knows(&self, key: &[u8], provider: PeerId) -> bool {
        self.log().written.contains(&(ContentKey::new(key).unwrap(), provider))
    }

    /// One call: counts itself, and behaves as the mood is when it begins (a frozen one when it is thawed).
    async fn call(&self, moods: &watch::Sender<Mood>, operation: &'static str) -> Result<(), StoreError> {
        let _running = Running::enter(self);
        let mut mood = moods.subscribe();
        let mood = *mood.wait_for(|mood| *mood != Mood::Frozen).await.expect("the sender is in self");
        match mood {
            Mood::Takes(Duration::ZERO) | Mood::Frozen => tokio::task::yield_now().await,
            Mood::Takes(time) => sleep(time).await,
            Mood::Fails(kind) => return Err(StoreError::new(kind, operation)),
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
        self.profile
    }

    async fn insert(&self, batch: Arc<[ProviderRecord]>, now: UnixSeconds) -> Result<Inserted, StoreError> {
        self.log().batches.push(batch.to_vec());
        self.call(&self.writes, "insert").await?;
        if self.forgets_half.load(Ordering::SeqCst) {
            let kept: Arc<[ProviderRecord]> =
                batch.iter().filter(|record| !self.has_forgotten(&record.key)).cloned().collect();
            self.log().written.extend(kept.iter().map(|record| (record.key, record.provider)));
            self.inner.insert(kept, now).await?;
            let outcome = |record: &ProviderRecord| match self.has_forgotten(&record.key) {
                true => RecordOutcome::Unknown(StoreErrorKind::Unavailable),
                false => RecordOutcome::Taken,
            };
            return Ok(Inserted::of(batch.iter().map(outcome).collect()));
        }
        self.log().written.extend(batch.iter().map(|record| (record.key, record.provider)));
        self.inner.insert(batch, now).await
    }

    async fn providers(
        &self,
        keys: Arc<[ContentKey]>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Vec<Found>, StoreError> {
        self.log().limits.push(limit.get());
        // As of the beginning: what is written meanwhile is not in it.
        let found = self.inner.providers(keys.clone(), now, limit).await;
        self.call(&self.reads, "providers").await?;
        self.log().reads.extend(keys.iter());
        let mut found = found?;
        for (key, found) in keys.iter().zip(&mut found).filter(|(key, _)| self.has_forgotten(key)) {
            tracing::trace!(%key, "forgotten");
            *found = Found::Unknown(StoreErrorKind::Unavailable);
        }
        Ok(found)
    }

    async fn purge_expired(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.log().purges.push(now);
        self.call(&self.writes, "purge_expired").await?;
        self.inner.purge_expired(now, limit).await
    }

    async fn estimate(&self) -> Result<Estimate, StoreError> {
        self.log().estimates += 1;
        self.call(&self.reads, "estimate").await?;
        self.inner.estimate().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.call(&self.writes, "close").await?;
        self.log().closed += 1;
        self.inner.close().await
    }
}

/// The ends of the requests for one key.
type Settled = Vec<(Token, Outcome)>;
type Judge = dyn Fn(&Request<'_>, &Load) -> Verdict + Send + Sync;

/// A policy that judges as told and writes down, by key, what became of each request. Its tokens are numbers that grow.
pub(crate) struct Ledger {
    judge: Box<Judge>,
    pub(crate) admitted: Mutex<HashMap<Vec<u8>, Vec<Token>>>,
    pub(crate) settled: Mutex<HashMap<Vec<u8>, Settled>>,
    next: AtomicUsize,
}

impl Ledger {
    pub(crate) fn new(judge: impl Fn(&Request<'_>, &Load) -> Verdict + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            judge: Box::new(judge),
            admitted: Mutex::default(),
            settled: Mutex::default(),
            next: AtomicUsize::new(1),
        })
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

    /// The only outcome of the only request for this key, which came with the token that was given.
    pub(crate) fn outcome(&self, key: &[u8]) -> Outcome {
        let admitted = self.admitted.lock().unwrap().get(key).cloned().unwrap_or_default();
        let settled = self.settled.lock().unwrap();
        let outcomes = settled.get(key).expect("it was settled");
        assert_eq!((admitted.len(), outcomes.len()), (1, 1), "settled once: {outcomes:?}");
        let (token, outcome) = outcomes[0];
        assert_eq!(token, admitted[0], "the token comes back");
        outcome
    }

    /// A1: as many ends as beginnings, for every key, each with its token.
    pub(crate) fn assert_balanced(&self) {
        let (admitted, settled) = (self.admitted.lock().unwrap(), self.settled.lock().unwrap());
        assert_eq!(admitted.len(), settled.len());
        for (key, tokens) in admitted.iter() {
            let mut came_back: Vec<Token> = settled[key].iter().map(|(token, _)| *token).collect();
            came_back.sort_unstable_by_key(|token| token.0);
            assert_eq!(came_back, *tokens, "requests for {key:?}");
        }
    }
}

impl AdmissionPolicy for Ledger {
    fn admit(&self, request: &Request<'_>, load: &Load, _now: Instant) -> Judgement {
        let verdict = (self.judge)(request, load);
        if matches!(verdict, Verdict::Decline(_)) {
            return verdict.into();
        }
        let mut admitted = self.admitted.lock().unwrap();
        let token = Token(self.next.fetch_add(1, Ordering::Relaxed) as u64);
        admitted.entry(request.key.to_vec()).or_default().push(token);
        Judgement::new(verdict).with_token(token)
    }

    fn settle(&self, request: &Request<'_>, token: Token, outcome: &Outcome, _now: Instant) {
        self.settled.lock().unwrap().entry(request.key.to_vec()).or_default().push((token, *outcome));
    }

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        vec!["too_much".into(), "other_word".into()]
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ledger")
    }
}

/// An engine on the paused clock.
pub(crate) fn open(store: &Arc<Store>, policies: Vec<NamedPolicy>, config: Config) -> Arc<Engine> {
    open_watched(store, policies, config, None)
}

pub(crate) fn open_watched(
    store: &Arc<Store>,
    policies: Vec<NamedPolicy>,
    config: Config,
    watch: Option<Arc<dyn Watch>>,
) -> Arc<Engine> {
    open_store(store.clone(), policies, config, watch)
}

/// An engine over any store.
pub(crate) fn open_store(
    store: Arc<dyn ProviderStore>,
    policies: Vec<NamedPolicy>,
    config: Config,
    watch: Option<Arc<dyn Watch>>,
) -> Arc<Engine> {
    let store = NamedStore { name: "test".to_owned(), store };
    Engine::open(store, policies, config, Clock::starting_at(START), watch)
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

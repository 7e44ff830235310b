//! The store in memory behind the doubles of the conformance suite, switched together; a policy that keeps account, for
//! which there is no double; dice.

use hydra_api::{
    Addresses, AdmissionPolicy, ContentKey, Inserted, Judgement, Load, Outcome, PeerId, ProviderRecord,
    ProviderStore, Request, StoreErrorKind, StoreProfile, Token, UnixSeconds, Verdict,
};
use hydra_conformance::doubles::{
    Asked, Calls, ClaimingStore, Counted, FailingStore, FrozenStore, PanicsSometimes, RecordingStore,
    SlowStore, UnknownForSome, Waits,
};
use hydra_engine::{
    Caller, Clock, Config, Engine, NamedPolicy, NamedStore, Nearness, PermitMode, Permits, PolicyMode, Watch,
};
use hydra_store_memory::Memory;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The date on which every test begins.
pub(crate) const START: UnixSeconds = UnixSeconds(1_800_000_000);

/// How the store behaves in the calls that begin now; those that a frozen one holds up, in the mood in which it is thawed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Takes(Duration),
    Frozen,
    Fails(StoreErrorKind),
    Panics,
}

/// Fails as a store does that cannot be reached.
pub(crate) const FAILS: Mood = Mood::Fails(StoreErrorKind::Unavailable);

/// A store in memory.
pub(crate) fn memory() -> Arc<Memory> {
    Arc::new(Memory::new(&hydra_store_memory::Config::default()))
}

fn profile(concurrency_max: usize, batch_len_max: usize) -> StoreProfile {
    let len = |len| NonZeroUsize::new(len).unwrap();
    StoreProfile::builder()
        .concurrency_max(len(concurrency_max))
        .read_batch_len_max(len(batch_len_max))
        .write_batch_len_max(len(batch_len_max))
        .build()
}

/// A store in memory behind doubles, each of them around the one before.
#[derive(Debug)]
pub(crate) struct Store {
    memory: Arc<Memory>,
    reached: Arc<RecordingStore>,
    unknown: Arc<UnknownForSome>,
    slow: Arc<SlowStore>,
    panicking: Arc<PanicsSometimes>,
    failing: Arc<FailingStore>,
    frozen: Arc<FrozenStore>,
    claiming: Arc<ClaimingStore>,
    asked: Arc<RecordingStore>,
}

impl Store {
    pub(crate) fn new(concurrency_max: usize, batch_len_max: usize) -> Arc<Self> {
        let memory = memory();
        let reached = Arc::new(RecordingStore::new(memory.clone(), usize::MAX));
        let unknown = Arc::new(UnknownForSome::new(reached.clone(), StoreErrorKind::Unavailable, 0, 1));
        let slow = Arc::new(SlowStore::delayed(unknown.clone(), Duration::ZERO));
        let panicking = Arc::new(PanicsSometimes::new(slow.clone(), 0, 1));
        let failing = Arc::new(FailingStore::new(panicking.clone(), StoreErrorKind::Unavailable, 0, 1));
        let frozen = Arc::new(FrozenStore::thawed(failing.clone()));
        let claiming = Arc::new(ClaimingStore::new(frozen.clone(), profile(concurrency_max, batch_len_max)));
        let asked = Arc::new(RecordingStore::new(claiming.clone(), usize::MAX));
        Arc::new(Self { memory, reached, unknown, slow, panicking, failing, frozen, claiming, asked })
    }

    /// What an engine is opened with.
    pub(crate) fn named(&self) -> NamedStore {
        NamedStore { name: "test".to_owned(), store: self.asked.clone() }
    }

    /// Every call is like this from now on.
    pub(crate) fn set(&self, mood: Mood) {
        self.set_calls(mood, Calls::AllWithClose);
    }

    /// The reads are like this from now on, and nothing else is out of order.
    pub(crate) fn set_reads(&self, mood: Mood) {
        self.set_calls(mood, Calls::Reads);
    }

    /// The inserts are like this from now on, and nothing else is out of order.
    pub(crate) fn set_writes(&self, mood: Mood) {
        self.set_calls(mood, Calls::Writes);
    }

    fn set_calls(&self, mood: Mood, calls: Calls) {
        let all_or_none = |all: bool| if all { 1_000 } else { 0 };
        let delay = if let Mood::Takes(delay) = mood { delay } else { Duration::ZERO };
        self.slow.set_calls(calls);
        self.slow.set_delay(delay);
        self.slow.set_close_delay(if calls == Calls::AllWithClose { delay } else { Duration::ZERO });
        self.panicking.set(all_or_none(mood == Mood::Panics), calls);
        self.failing.set_calls(calls);
        let kind = if let Mood::Fails(kind) = mood { kind } else { StoreErrorKind::Unavailable };
        self.failing.set(kind, all_or_none(matches!(mood, Mood::Fails(_))));
        // Last: what it held up goes on in the new mood.
        match mood {
            Mood::Frozen => self.frozen.freeze_calls(calls),
            Mood::Takes(_) | Mood::Fails(_) | Mood::Panics => self.frozen.thaw(),
        }
    }

    /// It can do this much from now on.
    pub(crate) fn claim(&self, concurrency_max: usize, batch_len_max: usize) {
        self.claiming.set_profile(Some(profile(concurrency_max, batch_len_max)));
    }

    /// It names this database system from now on.
    pub(crate) fn names_its_system(&self, system: &'static str) {
        let mut named = profile(1, 256);
        named.system = Some(system);
        self.claiming.set_profile(Some(named));
    }

    /// Its close takes this long from now on.
    pub(crate) fn close_takes(&self, time: Duration) {
        self.slow.set_close_delay(time);
    }

    /// A slow store answers as of the beginning of a call from now on.
    pub(crate) fn answer_as_of_the_beginning(&self) {
        self.slow.set_waits(Waits::AfterCall);
    }

    /// Whether of every other key nothing is known, as when a part of the store is down.
    pub(crate) fn forget_half(&self, forgets: bool) {
        self.unknown.set(StoreErrorKind::Unavailable, if forgets { 500 } else { 0 });
    }

    /// As [`Self::forget_half`], with this kind.
    pub(crate) fn forget_half_as(&self, kind: StoreErrorKind) {
        self.unknown.set(kind, 500);
    }

    /// The calls that run hang until the next mood; new ones are served.
    pub(crate) fn hang_those_under_way(&self) {
        self.frozen.pass_new();
    }

    /// What it was asked, and how many calls run.
    pub(crate) fn counted(&self) -> Counted {
        self.asked.counted()
    }

    pub(crate) fn running(&self) -> u64 {
        self.counted().in_flight
    }

    pub(crate) fn running_max(&self) -> u64 {
        self.counted().in_flight_max
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.asked.is_closed()
    }

    /// The limits of the reads that it was asked for.
    pub(crate) fn limits(&self) -> Vec<u32> {
        let limit = |asked| match asked {
            Asked::Providers { limit, .. } => Some(limit.get()),
            _ => None,
        };
        self.asked.asked().into_iter().filter_map(limit).collect()
    }

    /// The batches that it was to insert.
    pub(crate) fn batches(&self) -> Vec<Arc<[ProviderRecord]>> {
        let batch = |asked| match asked {
            Asked::Insert(batch) => Some(batch),
            _ => None,
        };
        self.asked.asked().into_iter().filter_map(batch).collect()
    }

    /// The providers that the store underneath keeps of a key, by this date.
    pub(crate) async fn kept(&self, key: ContentKey, now: UnixSeconds) -> Vec<hydra_api::Provider> {
        let limit = std::num::NonZeroU32::new(10).unwrap();
        match self.memory.providers(Arc::new([key]), now, limit).await.unwrap().remove(0) {
            hydra_api::Found::Known(providers) => providers,
            other => panic!("{other:?}"),
        }
    }

    /// The dates of the purges that it was asked for.
    pub(crate) fn purges(&self) -> Vec<UnixSeconds> {
        let date = |asked| match asked {
            Asked::PurgeExpired { now, .. } => Some(now),
            _ => None,
        };
        self.asked.asked().into_iter().filter_map(date).collect()
    }

    /// The keys that it has read.
    pub(crate) fn reads(&self) -> Vec<ContentKey> {
        let keys = |asked| match asked {
            Asked::Providers { keys, .. } => Some(keys),
            _ => None,
        };
        let read: Vec<_> = self.reached.asked().into_iter().filter_map(keys).collect();
        read.iter().flat_map(|keys| keys.iter().copied()).collect()
    }

    /// Puts a record into the store behind the engine's back, as another process would.
    pub(crate) fn put(&self, record: ProviderRecord, now: UnixSeconds) {
        let inserted = futures::executor::block_on(self.memory.insert([record].into(), now));
        assert_eq!(inserted.unwrap(), Inserted::All);
    }

    /// Whether the record was written; to be asked of a closed store, too.
    pub(crate) fn knows(&self, key: &[u8], provider: PeerId) -> bool {
        let key = ContentKey::new(key).unwrap();
        self.reached.asked().iter().any(|asked| match asked {
            Asked::Insert(batch) => {
                batch.iter().any(|record| (record.key, record.provider) == (key, provider))
            }
            _ => false,
        })
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
    open_store(store.named().store, policies, config, watch)
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

/// A config with exactly this many permits; the rest as by default.
pub(crate) fn permits(permits: u32) -> Config {
    permits_in(PermitMode::Fixed, permits)
}

/// A config with at most this many permits, as the store takes them; the rest as by default.
pub(crate) fn at_most(permits: u32) -> Config {
    permits_in(PermitMode::Adaptive, permits)
}

fn permits_in(mode: PermitMode, permits: u32) -> Config {
    Config {
        permits_max: Some(permits),
        permits: Permits { mode, ..Permits::default() },
        ..Config::default()
    }
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

/// One key in four is near to every head.
#[derive(Debug)]
pub(crate) struct OneInFour;

impl OneInFour {
    pub(crate) fn has(key: &[u8]) -> bool {
        key[9].is_multiple_of(4)
    }

    /// The first numbers of keys, from this one on, that are near, and that are far.
    pub(crate) fn numbers(from: u64) -> [u64; 2] {
        [true, false].map(|near| (from..).find(|number| Self::has(&key(*number)) == near).unwrap())
    }
}

impl Nearness for OneInFour {
    fn is_near(&self, _head: u32, key: &[u8]) -> bool {
        Self::has(key)
    }
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

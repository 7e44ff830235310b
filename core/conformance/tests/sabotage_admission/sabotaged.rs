//! The policy, honest but for one sabotage. Each is as small as can be, so that the cases of no other rule see it.

use hydra_api::{
    Admission, AdmissionPolicy, ConfigIssue, Judgement, Load, OpenError, Outcome, PeerId, Plugin, ReasonId,
    ReconfigureError, Request, Rung, Scope, Token, Value, Verdict,
};
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Peers whose budgets are kept.
const SLOTS: usize = 4096;

/// How long it takes until one more request is admitted.
const INTERVAL: Duration = Duration::from_secs(60);

/// What is wrong with a policy, named after the rule that it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Sabotage {
    #[default]
    Honest,
    TakesUnknownKeys,
    ReconfigurePanics,
    ReconfigureTakesUnknownKeys,
    ReconfigureDoesNotName,
    ReconfigureTakesAPart,
    ReconfigureRefusesItsOwn,
    A1GivesNothingBack,
    A1GivesTheLastBack,
    A1LosesWhenIdle,
    A2RemembersAll,
    A3Allocates,
    A3SlowAfterAMillion,
    A4ReadsAClock,
    A4NeverAgain,
    A4BackIsNew,
    A4BackIsTheEnd,
    A4BackAdmits,
    A5DeclinesCost,
    A6LosesCounts,
    A6GivesNothingBackElsewhere,
    A7AnotherReason,
    A7BytesOfAPeer,
    A7ReasonsChange,
    A7TooMany,
}
use Sabotage::*;

/// What the policy goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Sort {
    /// What a peer has asked for.
    #[default]
    Budget,
    /// The rung of the node.
    Load,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) sabotage: Sabotage,
    pub(crate) sort: Sort,
    /// Requests of a peer at one moment.
    pub(crate) budget: u32,
    #[serde(flatten, skip_serializing)]
    #[schemars(skip)]
    pub(crate) unknown: BTreeMap<String, IgnoredAny>,
}

impl Default for Config {
    fn default() -> Self {
        Self { sabotage: Honest, sort: Sort::Budget, budget: 60, unknown: BTreeMap::new() }
    }
}

#[derive(Debug)]
pub(crate) struct Sabotaged {
    sabotage: Sabotage,
    sort: Sort,
    budget: AtomicU32,
    slots: Box<[Mutex<Slot>]>,
    asked: AtomicU64,
    declined: AtomicU64,
    never_started: AtomicU64,
    reasons_asked: AtomicU64,
    /// An idle node declines from now on.
    ended: AtomicBool,
    last: Mutex<Option<(Instant, Instant)>>,
    remembered: Mutex<HashSet<PeerId>>,
}

/// The budget of a peer (generic cell rate algorithm): the moment at which all that it has taken is regained.
#[derive(Debug, Default)]
struct Slot {
    peer: Option<PeerId>,
    regained: Option<Instant>,
    last_token: u64,
    last_admitted: Option<Instant>,
}

impl Plugin for Sabotaged {
    type Role = Admission;
    type Config = Config;
    const KIND: &'static str = "sabotaged";
    const SUMMARY: &'static str = "breaks a rule";

    async fn open(config: Config, _: &Scope) -> Result<Arc<dyn AdmissionPolicy>, OpenError> {
        if let Some(key) = config.unknown.keys().next().filter(|_| config.sabotage != TakesUnknownKeys) {
            return Err(OpenError::config(key, format!("unknown key `{key}`")));
        }
        Ok(Arc::new(Self {
            sabotage: config.sabotage,
            sort: config.sort,
            budget: AtomicU32::new(config.budget),
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
            asked: AtomicU64::new(0),
            declined: AtomicU64::new(0),
            never_started: AtomicU64::new(0),
            reasons_asked: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            last: Mutex::default(),
            remembered: Mutex::default(),
        }))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// How the present request follows on the one before.
struct Since {
    /// Its time is before that of the last one.
    back: bool,
    /// Its time is that of the last one, which was asked a quarter of a second ago.
    same_later: bool,
}

impl Sabotaged {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    fn slot(&self, peer: PeerId) -> MutexGuard<'_, Slot> {
        let mut slot = locked(&self.slots[hash(peer) as usize % SLOTS]);
        if slot.peer != Some(peer) {
            *slot = Slot { peer: Some(peer), ..Slot::default() };
        }
        slot
    }

    fn since_last(&self, now: Instant) -> Since {
        let clock = Instant::now();
        let last = locked(&self.last).replace((now, clock));
        let quarter = |asked: Instant| clock.duration_since(asked) > Duration::from_millis(250);
        Since {
            back: last.is_some_and(|(last, _)| now < last),
            same_later: last.is_some_and(|(last, asked)| now == last && quarter(asked)),
        }
    }

    /// What it does beside deciding.
    fn meddle(&self, peer: PeerId) {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        match self.sabotage {
            A2RemembersAll => drop(locked(&self.remembered).insert(peer)),
            A3Allocates => drop(std::hint::black_box(Box::new(asked))),
            A3SlowAfterAMillion if asked > 1_048_000 => {
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_micros(60) {}
            }
            _ => {}
        }
    }

    fn by_load(&self, load: &Load, since: &Since) -> Option<u64> {
        let busy = load.rung >= Rung::Stale;
        match self.sabotage {
            A4ReadsAClock if since.same_later => return Some(0),
            A4BackAdmits if since.back => return Some(0),
            A4BackIsTheEnd if since.back => self.ended.store(true, Ordering::Relaxed),
            A5DeclinesCost if self.declined.load(Ordering::Relaxed) > 500 => {
                self.ended.store(true, Ordering::Relaxed);
            }
            A1LosesWhenIdle if self.never_started.load(Ordering::Relaxed) > 50 => return None,
            _ => {}
        }
        (!busy && !self.ended.load(Ordering::Relaxed)).then_some(0)
    }

    /// The token of a request that the peer's budget admits.
    fn by_budget(&self, peer: PeerId, now: Instant, since: &Since) -> Option<u64> {
        let mut slot = self.slot(peer);
        match self.sabotage {
            A4ReadsAClock if since.same_later => return Some(0),
            A4BackIsNew if since.back => slot.regained = None,
            A4BackIsTheEnd if since.back => self.ended.store(true, Ordering::Relaxed),
            _ => {}
        }
        let regained = slot.regained.unwrap_or(now).max(now);
        let rest = (self.budget.load(Ordering::Relaxed).saturating_sub(1)) * INTERVAL;
        let ended = self.ended.load(Ordering::Relaxed);
        if regained.duration_since(now) > rest || ended {
            if self.is(A5DeclinesCost) && slot.last_admitted.is_some_and(|admitted| now > admitted) {
                slot.regained = Some(regained + Duration::from_secs(1));
            }
            if self.is(A4NeverAgain) && since.same_later {
                self.ended.store(true, Ordering::Relaxed);
            }
            return None;
        }
        if self.is(A6LosesCounts) {
            // Others take from the same budget meanwhile.
            drop(slot);
            std::thread::yield_now();
            slot = self.slot(peer);
        }
        slot.regained = Some(regained + INTERVAL);
        slot.last_token += 1;
        slot.last_admitted = Some(now);
        let thread = hash(std::thread::current().id());
        Some(if self.is(A6GivesNothingBackElsewhere) { thread } else { slot.last_token })
    }
}

impl AdmissionPolicy for Sabotaged {
    fn admit(&self, request: &Request<'_>, load: &Load, now: Instant) -> Judgement {
        self.meddle(request.peer);
        let since = self.since_last(now);
        let admitted = match self.sort {
            Sort::Budget => self.by_budget(request.peer, now, &since),
            Sort::Load => self.by_load(load, &since),
        };
        match admitted {
            Some(token) => Judgement::new(Verdict::Admit).with_token(Token(token)),
            None => {
                self.declined.fetch_add(1, Ordering::Relaxed);
                Verdict::Decline(ReasonId(if self.is(A7AnotherReason) { 1 } else { 0 })).into()
            }
        }
    }

    fn settle(&self, request: &Request<'_>, token: Token, outcome: &Outcome, _: Instant) {
        if *outcome != Outcome::NeverStarted {
            return;
        }
        let never_started = self.never_started.fetch_add(1, Ordering::Relaxed);
        if self.sort == Sort::Load {
            return;
        }
        let mut slot = self.slot(request.peer);
        let is_lost = match self.sabotage {
            A1GivesNothingBack => never_started > 100,
            A1GivesTheLastBack if never_started > 100 => token.0 != slot.last_token,
            A6GivesNothingBackElsewhere => token.0 != hash(std::thread::current().id()),
            _ => false,
        };
        if let Some(regained) = slot.regained.filter(|_| !is_lost) {
            slot.regained = regained.checked_sub(INTERVAL);
        }
    }

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        let asked = self.reasons_asked.fetch_add(1, Ordering::Relaxed);
        match self.sabotage {
            A7BytesOfAPeer => vec!["budget of 12D3KooW".into()],
            A7ReasonsChange => vec![format!("budget_{asked}").into()],
            A7TooMany => (0..65).map(|number| format!("budget_{number}").into()).collect(),
            _ => vec!["budget".into()],
        }
    }

    fn reconfigure(&self, table: Value) -> Result<(), ReconfigureError> {
        if self.is(ReconfigurePanics) && !table.is_object() {
            // Without a word in the output of a test that passes.
            std::panic::resume_unwind(Box::new("a table is a table"));
        }
        let config: Config = ReconfigureError::parse(table)?;
        let unknown = config.unknown.keys().next().filter(|_| !self.is(ReconfigureTakesUnknownKeys));
        let refused = |key: &str| {
            let (key, message) = (key.to_owned(), "it is wrong".to_owned());
            Err(ReconfigureError::Config(ConfigIssue { key, message }))
        };
        match unknown {
            None if self.is(ReconfigureRefusesItsOwn) => return refused("budget"),
            None => {}
            Some(key) => {
                if self.is(ReconfigureTakesAPart) {
                    self.budget.store(config.budget, Ordering::Relaxed);
                }
                return refused(if self.is(ReconfigureDoesNotName) { "." } else { key });
            }
        }
        self.budget.store(config.budget, Ordering::Relaxed);
        Ok(())
    }
}

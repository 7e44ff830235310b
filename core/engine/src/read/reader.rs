//! The way of a read: the cache, else a flight, else what waits to be written, else closer peers alone.

use super::answer::{self, Answer, Reply};
use super::cache::Cache;
use super::flights::{Flight, Flights, Joined};
use super::line::{Line, Request, Taken, Wait};
use crate::clock::{Clock, Now};
use crate::config::{Life, Limits};
use crate::memory_share::MemoryShare;
use crate::observe::{StoreCall, trace};
use crate::request::{Distance, Ending, Form, Source, form};
use crate::store::{Backend, Failure, Lane, Permit, ReadLine, gravest};
use crate::sync::{add, lock};
use crate::write::{OfKey, Readers, WriteQueue};
use hydra_api::admission::Level;
use hydra_api::{ContentKey, Found, ProviderRecord, ProviderStore, Rung};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::time::timeout_at;
use tracing::Span;

/// Reads providers.
#[derive(Debug)]
pub(crate) struct Reader {
    backend: Arc<Backend>,
    flights: Flights,
    line: Line,
    queue: Arc<WriteQueue>,
    limits: Arc<Limits>,
    clock: Clock,
    /// The key of the last read that failed: it is read again to see whether the store answers.
    failed: Mutex<Option<ContentKey>>,
    me: Weak<Self>,
}

/// How full the read side is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadLevels {
    pub(crate) waiting: Level,
    pub(crate) evicted: u64,
    pub(crate) flights: u64,
    pub(crate) cache_len: u64,
    pub(crate) cache_bytes: u64,
    pub(crate) cache_bytes_max: u64,
}

/// How a read is made on a rung.
#[derive(Debug, Clone, Copy)]
struct Plan {
    rung: Rung,
    answer_len: NonZeroU32,
    /// For how long a cached answer is given instead of asking the store.
    life: Life,
    asks: Asks,
    deadline: Duration,
}

/// What a read that the cache does not answer wants of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    /// Its answer, within the deadline.
    Waits,
    /// That it reads the key with one of the next calls. The request waits if that is likely to begin soon.
    AtOnce,
    Never,
}

/// What comes of a read that the cache does not answer.
#[derive(Debug)]
enum Asked<'a> {
    Answered(Reply),
    /// It waits for a flight.
    Waits(Wait<'a>, Source),
}

impl Plan {
    /// Nothing on the rung of full decline.
    fn on((rung, distance): (Rung, Distance), limits: &Limits, paused: bool) -> Option<Self> {
        let plan = |answer_len, life, asks, deadline| Self { rung, answer_len, life, asks, deadline };
        let short = limits.short_answer_len;
        let plan = match rung {
            Rung::Full => plan(limits.answer_len, limits.fresh, Asks::Waits, limits.soft_deadline),
            Rung::Short => plan(short, limits.fresh, Asks::Waits, limits.short_deadline),
            Rung::Stale => plan(short, limits.stale, Asks::AtOnce, limits.short_deadline),
            Rung::NearOnly => match distance {
                Distance::Near => plan(short, limits.stale, Asks::AtOnce, limits.short_deadline),
                Distance::Far => plan(short, limits.stale, Asks::Never, limits.short_deadline),
            },
            Rung::CacheOnly => plan(short, limits.stale, Asks::Never, limits.short_deadline),
            _ => return None,
        };
        // No store call comes before the next probe.
        let asks = if paused && plan.asks == Asks::Waits { Asks::AtOnce } else { plan.asks };
        Some(Self { asks, ..plan })
    }
}

impl Reader {
    pub(crate) fn new(
        backend: Arc<Backend>,
        queue: Arc<WriteQueue>,
        limits: Arc<Limits>,
        clock: Clock,
    ) -> Arc<Self> {
        let reader = Arc::new_cyclic(|me: &Weak<Self>| Self {
            flights: Flights::new(Cache::new(limits.cache_bytes)),
            line: Line::new(limits.waiting_len, limits.waiting, clock.now()),
            backend,
            queue,
            limits,
            clock,
            failed: Mutex::default(),
            me: me.clone(),
        });
        reader.backend.gate.serve(reader.me.clone());
        reader
    }

    /// Reads the providers of a key, as well as this rung allows at this distance.
    pub(crate) async fn read(
        &self,
        key: ContentKey,
        (rung, distance): (Rung, Distance),
        now: Now,
        span: &Span,
    ) -> Reply {
        if form(key.as_bytes()) == Form::Identity {
            return Reply::nothing(Ending::NotKept, rung);
        }
        let paused = self.backend.breaker.is_open(Lane::Reads);
        let Some(plan) = Plan::on((rung, distance), &self.limits, paused) else {
            return Reply::nothing(Ending::Shed, rung);
        };
        let cached = self.flights.cache().find(&key);
        let fresh =
            |answer: &Answer| answer.is_fresh(plan.life, now.instant) && answer.suffices(plan.answer_len);
        if let Some(answer) = cached.filter(|answer| fresh(answer)) {
            return self.hit(key, &answer, &plan, now);
        }
        add(&self.backend.stats.hits.mine().misses, 1);
        let asked = match plan.asks {
            Asks::Never => {
                if distance == Distance::Far {
                    add(&self.backend.stats.wants.mine().far, 1);
                }
                Asked::Answered(self.instead(key, &plan, Ending::Shed, now, None))
            }
            Asks::AtOnce if paused => self.leave_in_line(key, &plan, now, span, Ending::StoreFailed),
            Asks::AtOnce if self.line.has_place(now.instant) => {
                self.wait(key, &plan, Request::HasPlace, now, span)
            }
            Asks::AtOnce => self.leave_in_line(key, &plan, now, span, Ending::NoPermit),
            Asks::Waits => self.wait(key, &plan, Request::Waits, now, span),
        };
        match asked {
            Asked::Answered(reply) => reply,
            Asked::Waits(wait, source) => self.landed(key, wait, &plan, source, now).await,
        }
    }

    /// Has `accept` put a record into the write queue; if it did, every read from now on sees it.
    pub(crate) fn accept(
        &self,
        record: &ProviderRecord,
        now: Now,
        accept: impl FnOnce() -> Ending,
    ) -> Ending {
        self.flights.accept(record, now.unix, accept)
    }

    /// Has the cache use this share of its configured memory.
    pub(crate) fn set_share(&self, share: MemoryShare) {
        self.flights.cache().set_share(share);
    }

    pub(crate) fn levels(&self) -> ReadLevels {
        let cache = self.flights.cache();
        ReadLevels {
            waiting: self.line.level(),
            evicted: self.line.evicted(),
            flights: self.flights.len() as u64,
            cache_len: cache.len(),
            cache_bytes: cache.bytes(),
            cache_bytes_max: cache.bytes_max(),
        }
    }

    /// How many reads wait.
    pub(crate) fn waiting(&self) -> Level {
        self.line.level()
    }

    /// The longest line since the last call.
    pub(crate) fn take_waiting_peak(&self) -> Level {
        self.line.take_peak()
    }

    /// Reads the key of the last read that failed once more, to see whether the store answers again. False if none has failed.
    pub(crate) fn probe(&self, permit: Permit) -> Result<(), Permit> {
        let Some(key) = *lock(&self.failed) else { return Err(permit) };
        let (store, now) = (self.backend.store.clone(), self.clock.read().unix);
        let call =
            async move { checked(store.providers([key].into(), now, NonZeroU32::MIN).await?, 1, &*store) };
        let span = trace::reading(&self.backend.tracer, &[], 1);
        // What it brings is noted where it ends.
        drop(self.backend.start(permit, StoreCall::Providers, 1, span, call, drop));
        Ok(())
    }

    /// Answers at once, and leaves the key to a later call of the store. If its call begins at once, as nobody else waits and a
    /// permit is free, the request waits for it, unless the store is paused and this is its probe.
    fn leave_in_line(
        &self,
        key: ContentKey,
        plan: &Plan,
        now: Now,
        span: &Span,
        ending: Ending,
    ) -> Asked<'_> {
        // A denial takes no lock and allocates nothing.
        if self.line.is_full() {
            add(&self.backend.stats.wants.mine().wanted, 1);
            self.lose();
            return Asked::Answered(self.instead(key, plan, ending, now, None));
        }
        let mut under_way = None;
        match self.join(key, plan, now) {
            Joined::Known(answer) => return Asked::Answered(self.hit(key, &answer, plan, now)),
            Joined::Lead(flight) => {
                self.line_up(&flight, Request::IsAnswered, now, span);
                if flight.has_departed() && ending == Ending::NoPermit {
                    return Asked::Waits(self.line.wait_for(flight), Source::Store);
                }
            }
            Joined::Follow { flight, .. } => {
                add(&self.backend.stats.wants.mine().coalesced, 1);
                under_way = Some(flight);
            }
            Joined::Full => {}
        }
        // It does not wait for that call.
        let reply = self.instead(key, plan, ending, now, under_way.as_deref());
        Asked::Answered(Reply { call: None, ..reply })
    }

    /// Waits for the flight of the key, its own or another's.
    ///
    /// With a place, that is one in the next calls, which would else be filled with keys that nobody waits for: of what the
    /// store can read, all is of use, however much more is asked. There are no more such places than these calls have.
    fn wait(&self, key: ContentKey, plan: &Plan, request: Request, now: Now, span: &Span) -> Asked<'_> {
        match self.join(key, plan, now) {
            Joined::Known(answer) => Asked::Answered(self.hit(key, &answer, plan, now)),
            Joined::Full => Asked::Answered(self.instead(key, plan, Ending::NoPermit, now, None)),
            Joined::Lead(flight) => {
                // First, so that it stands in line as one that is waited for.
                let wait = self.line.wait_for(flight);
                self.line_up(&wait.flight, request, now, span);
                Asked::Waits(wait, Source::Store)
            }
            Joined::Follow { flight, .. } => {
                add(&self.backend.stats.wants.mine().coalesced, 1);
                let was_left = !flight.is_awaited() && !flight.has_departed();
                let wait = self.line.wait_for(flight);
                if was_left {
                    self.line.move_up(&wait.flight, request, now.instant);
                }
                Asked::Waits(wait, Source::Shared)
            }
        }
    }

    /// Waits for a flight: for a permit a short time, then for the store until the deadline.
    async fn landed(&self, key: ContentKey, wait: Wait<'_>, plan: &Plan, source: Source, now: Now) -> Reply {
        let flight = &wait.flight;
        let deadline = now.instant + plan.deadline;
        let permit_until = deadline.min(now.instant + self.limits.waiting);
        let mut landed = timeout_at(permit_until.into(), flight.landing()).await;
        if landed.is_err() {
            if !flight.has_departed() {
                if flight.deny() {
                    add(&self.backend.stats.wants.mine().denied, 1);
                }
                return self.instead(key, plan, Ending::NoPermit, self.clock.read(), Some(flight));
            }
            landed = timeout_at(deadline.into(), flight.landing()).await;
        }
        let now = self.clock.read();
        match landed {
            Ok(Ok(answer)) => {
                let reply = self.reply(key, &answer, plan, source, now);
                Reply { call: flight.call(), ..reply }
            }
            Ok(Err(ending)) => self.instead(key, plan, ending, now, Some(flight)),
            Err(_) => self.instead(key, plan, Ending::Late, now, Some(flight)),
        }
    }

    fn join(&self, key: ContentKey, plan: &Plan, now: Now) -> Joined {
        let capacity = self.backend.capacity();
        let in_calls = (capacity.permits as usize).saturating_mul(capacity.read_batch_len);
        // Those of calls that have just ended are still landing when the next ones depart.
        let flights_max = self.limits.waiting_len.saturating_add(in_calls.saturating_mul(2));
        let fresh =
            |answer: &Answer| answer.is_fresh(plan.life, now.instant) && answer.suffices(plan.answer_len);
        let joined = self.flights.join(key, plan.answer_len, flights_max, fresh);
        match &joined {
            Joined::Follow { flight, is_widened: true } => {
                flight.accept_waiting(self.queue.pending(&key, flight.len_max()));
            }
            Joined::Full => {
                add(&self.backend.stats.wants.mine().wanted, 1);
                self.lose();
            }
            Joined::Follow { .. } | Joined::Lead(_) | Joined::Known(_) => {}
        }
        joined
    }

    /// Puts a flight in line, with what is accepted of its key and not written yet. It is known already, so that nothing
    /// is accepted between the two without its knowledge.
    fn line_up(&self, flight: &Arc<Flight>, request: Request, now: Now, span: &Span) {
        flight.accept_waiting(self.queue.pending(&flight.key, flight.len_max()));
        add(&self.backend.stats.wants.mine().wanted, 1);
        flight.traced(span, trace::waiting(span));
        if let Some(evicted) = self.line.push(flight.clone(), request, now.instant) {
            self.turn_away(&evicted, now);
        }
        self.backend.gate.advance();
        self.line.record_peak();
    }

    /// Counts a key that the store is not asked for, as there is no room for it.
    fn lose(&self) {
        let wants = self.backend.stats.wants.mine();
        add(&wants.denied, 1);
        add(&wants.lost, 1);
    }

    fn turn_away(&self, flight: &Flight, now: Now) {
        let wants = self.backend.stats.wants.mine();
        if flight.deny() {
            add(&wants.denied, 1);
        }
        add(&wants.lost, 1);
        self.flights.land(flight, Err(Ending::NoPermit), now.unix);
    }

    fn hit(&self, key: ContentKey, answer: &Arc<Answer>, plan: &Plan, now: Now) -> Reply {
        let hits = self.backend.stats.hits.mine();
        let (counter, source) = if !answer.is_within(self.limits.fresh, now.instant) {
            (&hits.stale, Source::StaleCache)
        } else if answer.is_absent() {
            (&hits.absent, Source::Cache)
        } else {
            (&hits.present, Source::Cache)
        };
        add(counter, 1);
        self.reply(key, answer, plan, source, now)
    }

    /// What there is instead of the store's answer: an older one, or what waits to be written or was taken since the flight of the
    /// key began, or nothing.
    fn instead(
        &self,
        key: ContentKey,
        plan: &Plan,
        ending: Ending,
        now: Now,
        flight: Option<&Flight>,
    ) -> Reply {
        let call = flight.and_then(Flight::call);
        let cached = self.flights.cache().find(&key);
        if let Some(answer) = cached.filter(|answer| answer.is_within(self.limits.stale, now.instant)) {
            add(&self.backend.stats.hits.mine().stale, 1);
            let plan = Plan { rung: plan.rung.max(Rung::Stale), ..*plan };
            return Reply { call, ..self.reply(key, &answer, &plan, Source::StaleCache, now) };
        }
        let moment = answer::Now { asked_at: now.instant, unix: now.unix };
        let mut taken = flight.map(Flight::accepted).unwrap_or_default();
        taken.extend(self.queue.pending(&key, plan.answer_len));
        let answer = Answer::of_queue(taken, plan.answer_len, moment).map(Arc::new);
        let source = if answer.is_some() { Source::WriteQueue } else { Source::Nothing };
        Reply { answer, source, call, ..Reply::nothing(ending, plan.rung) }
    }

    fn reply(&self, key: ContentKey, answer: &Arc<Answer>, plan: &Plan, source: Source, now: Now) -> Reply {
        // A flight that departed for a shorter answer brings less than was asked for.
        let rung = if answer.suffices(plan.answer_len) { plan.rung } else { plan.rung.max(Rung::Short) };
        let live = if answer.is_live(now.unix) {
            answer.clone()
        } else {
            // Once: those who come next find it.
            let trimmed = Arc::new(answer.trimmed(NonZeroU32::MAX, now.unix));
            self.flights.replace(key, answer, trimmed.clone());
            trimmed
        };
        let given = live.first(plan.answer_len, now.unix).unwrap_or(live);
        Reply { answer: Some(given), rung, ending: Ending::Served, source, call: None }
    }
}

impl Readers for Reader {
    fn retract(&self, record: &ProviderRecord) {
        let waits_again = || self.queue.has_pending(record);
        self.flights.retract(record, waits_again);
    }

    fn told(&self, record: &ProviderRecord) -> Option<OfKey> {
        let answer = self.flights.cache().peek(&record.key)?;
        let providers = answer.providers();
        let provider = providers.iter().find(|known| known.peer == record.provider).cloned();
        Some(OfKey { len: providers.len(), provider })
    }
}

impl ReadLine for Reader {
    fn waits(&self) -> bool {
        self.line.waits()
    }

    /// Starts one call for the newest flights in line, as many as one call may read.
    fn depart(&self, permit: Permit) {
        let Some(me) = self.me.upgrade() else { return };
        let now = self.clock.read();
        let capacity = self.backend.capacity();
        let Taken { flights, expired } =
            self.line.take(capacity.read_batch_len, self.backend.gate.in_flight().max as usize, now.instant);
        expired.iter().for_each(|flight| self.turn_away(flight, now));
        if flights.is_empty() {
            return;
        }
        let stats = &self.backend.stats.reads;
        let late = flights.iter().filter(|(waited, flight)| *waited > self.limits.waiting && flight.deny());
        add(&self.backend.stats.wants.mine().denied, late.count() as u64);
        let flights: Vec<Arc<Flight>> = flights.into_iter().map(|(_, flight)| flight).collect();
        let keys: Arc<[ContentKey]> = flights.iter().map(|flight| flight.key).collect();
        let len = keys.len();
        let requests: Vec<Span> =
            flights.iter().filter_map(|flight| flight.depart(now.instant, len as u32)).collect();
        // After the departure: from here on no request widens it.
        let len_max = flights.iter().map(|flight| flight.len_max()).max().unwrap_or(NonZeroU32::MIN);
        add(&stats.statements, 1);
        if len > 1 {
            add(&stats.batched, len as u64);
        }
        let span = trace::reading(&self.backend.tracer, &requests, len);
        let store = self.backend.store.clone();
        let call = async move { checked(store.providers(keys, now.unix, len_max).await?, len, &*store) };
        let aboard = Aboard { reader: me, flights, len_max, departed: now };
        // Requests wait for their flights, not for the call.
        drop(self.backend.start(permit, StoreCall::Providers, len, span, call, |found| aboard.land(found)));
    }
}

/// What the store found of so many keys. An answer that says nothing of any key is a failure.
fn checked(found: Vec<Found>, keys: usize, store: &dyn ProviderStore) -> Result<Vec<Found>, Failure> {
    if found.len() != keys {
        return Err(Failure::Broke("the store answered for more or fewer keys than it was asked for"));
    }
    let unknown = |found: &Found| match found {
        Found::Unknown(kind) => Some(*kind),
        Found::Known(_) => None,
    };
    let kinds: Option<Vec<_>> = found.iter().map(unknown).collect();
    match kinds.and_then(gravest) {
        Some(kind) => Err(Failure::unknown(kind, StoreCall::Providers, store, found.len())),
        None => Ok(found),
    }
}

/// The flights of one store call. Those that have not landed when it is dropped, as by a panic of the store, have failed.
#[derive(Debug)]
struct Aboard {
    reader: Arc<Reader>,
    flights: Vec<Arc<Flight>>,
    len_max: NonZeroU32,
    departed: Now,
}

impl Aboard {
    fn land(mut self, found: Result<Vec<Found>, Failure>) {
        // A failure lands them all as failed.
        let Ok(found) = found else { return };
        let (reader, life) = (self.reader.clone(), self.reader.limits.record_ttl);
        let mut unknown = None;
        for (flight, found) in std::mem::take(&mut self.flights).into_iter().zip(found) {
            let end = match found {
                Found::Known(providers) => {
                    let (at, now) = (self.departed.instant, self.departed.unix);
                    Ok(Answer::of_store(providers, self.len_max, at, now, life))
                }
                Found::Unknown(kind) => {
                    unknown = gravest(unknown.into_iter().chain([kind]));
                    add(&reader.backend.stats.reads.unknown, 1);
                    Err(Ending::StoreFailed)
                }
            };
            reader.flights.land(&flight, end, self.departed.unix);
        }
        if let Some(kind) = unknown {
            reader.backend.failed_in_part(StoreCall::Providers, kind);
        }
    }
}

impl Drop for Aboard {
    fn drop(&mut self) {
        if let Some(flight) = self.flights.first() {
            *lock(&self.reader.failed) = Some(flight.key);
        }
        for flight in &self.flights {
            self.reader.flights.land(flight, Err(Ending::StoreFailed), self.departed.unix);
        }
    }
}

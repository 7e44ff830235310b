//! The engine: every request that needs the store comes here.

mod close;
mod snapshot;

pub use close::{CloseReport, StoreClosed};

use crate::admission::{Chain, NamedPolicy, Ticket};
use crate::background::Background;
use crate::clock::{Clock, Now};
use crate::config::{Config, Limits};
use crate::load::Ladder;
use crate::memory_share::MemoryShare;
use crate::observe::trace::Watch;
use crate::observe::{Departure, RequestTrace, Stats, Tracer};
use crate::parts::Parts;
use crate::read::Reply;
use crate::request::{Caller, Distance, Ending, Nearness, Refused, Source, announced};
use crate::store::Backend;
use crate::values::{self, Put, ValueReply};
use bytes::Bytes;
use hydra_api::{
    Addresses, ContentKey, Load, Operation, ProviderRecord, ProviderStore, Rung, UnixSeconds, ValueKey,
    ValueRecord,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Handles the requests of all heads over one store.
#[derive(Debug)]
pub struct Engine {
    parts: Arc<Parts>,
    background: Background,
}

/// A store and its name in traces.
#[derive(Debug, Clone)]
pub struct NamedStore {
    /// Its name: the kind of its plugin.
    pub name: String,
    /// The store.
    pub store: Arc<dyn ProviderStore>,
}

/// A record as it stands in a PUT_VALUE.
#[derive(Debug, Clone, Copy)]
pub struct PutRecord<'a> {
    /// The key in the record, which must be that of the request.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a Bytes,
}

impl Engine {
    /// An engine over this store, with its background tasks on the current tokio runtime. `watch` is told of every
    /// request.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(
        NamedStore { name, store }: NamedStore,
        policies: Vec<NamedPolicy>,
        config: Config,
        clock: Clock,
        watch: Option<Arc<dyn Watch>>,
    ) -> Arc<Self> {
        let (limits, stats) = (Arc::new(Limits::new(&config)), Arc::new(Stats::new(&config)));
        let backend = Backend::new(store, Tracer::new(watch, name), stats, &limits);
        let (chain, ladder) = (Chain::new(policies), Ladder::new(config));
        let parts = Arc::new(Parts::new(chain, ladder, backend, limits, clock));
        Arc::new(Self { background: Background::start(&parts), parts })
    }

    /// Measures by this from now on which head is near to which key (rung `near_only`). The first one stays; without one
    /// every key is near, and the node does not enter that rung by itself.
    pub fn set_nearness(&self, nearness: Arc<dyn Nearness>) {
        self.parts.ladder.set_nearness(nearness);
    }

    /// The providers of a key.
    ///
    /// # Errors
    /// [`Refused`] when the key is malformed: the stream is reset.
    ///
    /// # Cancel safety
    /// A dropped future counts as abandoned. A store call that it has started goes on to its end, under its permit.
    pub async fn providers(&self, caller: Caller, key: &[u8]) -> Result<Reply, Refused> {
        let parts = &*self.parts;
        let mut trace = self.trace(Operation::GetProviders, caller.head);
        let content = match ContentKey::new(key) {
            Ok(content) => content,
            Err(cause) => {
                trace.end(&Departure::at_once(Ending::Refused, Rung::Full));
                return Err(cause.into());
            }
        };
        let now = parts.clock.read();
        let request = caller.request(Operation::GetProviders, key);
        let mut ticket = parts.chain.ticket(&request, now.instant);
        let rung = match self.admit(&mut trace, &mut ticket) {
            Ok(rung) => rung,
            Err(turned_away) => {
                trace.end(&turned_away);
                return Ok(Reply::nothing(turned_away.ending, turned_away.rung));
            }
        };
        let distance = parts.ladder.distance_on(rung, &caller, key);
        let reply = parts.reader.read(content, (rung, distance), now, &trace.span).await;
        // What the cache answers takes no time that is worth another look at the clock.
        let ended = if reply.source == Source::Cache { now.instant } else { parts.clock.now() };
        let took = ended.saturating_duration_since(now.instant);
        trace.end(&Departure {
            ending: reply.ending,
            rung: reply.rung,
            source: Some(reply.source),
            time: Some((now.instant, took)),
            call: reply.call,
        });
        ticket.settle(&reply.ending.outcome(reply.rung, took), ended);
        Ok(reply)
    }

    /// Takes the announcement that the caller provides `key` and can be reached at `addresses`, which are built only
    /// if the announcement is admitted. Once it is taken ([`Ending::Served`]), every read sees it. The client gets no
    /// reply in any case (V5).
    ///
    /// # Errors
    /// [`Refused`] when the key is malformed: the stream is reset.
    pub fn announce(
        &self,
        caller: Caller,
        key: &[u8],
        addresses: impl FnOnce() -> Addresses,
    ) -> Result<Ending, Refused> {
        let parts = &*self.parts;
        let mut trace = self.trace(Operation::AddProvider, caller.head);
        let content = match announced(key, parts.limits.announced_keys) {
            Ok(content) => content,
            Err(cause) => {
                trace.end(&Departure::at_once(Ending::Refused, Rung::Full));
                return Err(cause);
            }
        };
        let now = parts.clock.read();
        let request = caller.request(Operation::AddProvider, key);
        let mut ticket = parts.chain.ticket(&request, now.instant);
        let rung = match self.admit(&mut trace, &mut ticket) {
            Ok(rung) => rung,
            Err(turned_away) => {
                trace.end(&turned_away);
                return Ok(turned_away.ending);
            }
        };
        let far = parts.ladder.distance_on(rung, &caller, key) == Distance::Far;
        let ending = if far {
            parts.writer.shed_far()
        } else {
            let expires = now.unix.saturating_add(parts.limits.record_ttl);
            let (provider, addresses) = (caller.peer, addresses());
            let record = ProviderRecord { key: content, provider, addresses, expires };
            self.take(&record, (rung, || parts.ladder.distance(&caller, key)), now)
        };
        trace.end(&Departure::at_once(ending, rung));
        ticket.settle(&ending.outcome(rung, Duration::ZERO), now.instant);
        Ok(ending)
    }

    /// Takes an announcement, unless it is refused.
    fn take(
        &self,
        record: &ProviderRecord,
        (rung, distance): (Rung, impl FnOnce() -> Distance),
        now: Now,
    ) -> Ending {
        let parts = &*self.parts;
        if let Some(ending) = parts.writer.refuses(record, rung, distance, now) {
            return ending;
        }
        let mut evicted = Vec::new();
        let take = || parts.writer.take(record.clone(), now, &mut evicted);
        let ending = parts.reader.accept(record, now, take);
        parts.writer.drop_evicted(&evicted);
        ending
    }

    /// Whether value records are kept: the config lets them be, and the store keeps them.
    pub fn keeps_values(&self) -> bool {
        self.parts.values.are_kept()
    }

    /// The value record of a key; without one when none is known, or the store is not asked.
    ///
    /// # Cancel safety
    /// As that of [`providers`](Self::providers).
    pub async fn value(&self, caller: Caller, key: &[u8]) -> ValueReply {
        let parts = &*self.parts;
        let mut trace = self.trace(Operation::GetValue, caller.head);
        // U2: of other keys there are no records, and of none if they are not kept.
        let value_key = ValueKey::new(key).ok().filter(|key| values::is_kept(key) && parts.values.are_kept());
        let Some(value_key) = value_key else {
            trace.end(&Departure::at_once(Ending::Served, Rung::Full));
            return ValueReply::nothing(Ending::Served, Rung::Full);
        };
        let now = parts.clock.read();
        let request = caller.request(Operation::GetValue, key);
        let mut ticket = parts.chain.ticket(&request, now.instant);
        let rung = match self.admit(&mut trace, &mut ticket) {
            Ok(rung) => rung,
            Err(turned_away) => {
                trace.end(&turned_away);
                return ValueReply::nothing(turned_away.ending, turned_away.rung);
            }
        };
        let distance = parts.ladder.distance_on(rung, &caller, key);
        let reply = parts.values.get(value_key, (rung, distance), now).await;
        self.settle(trace, ticket, (reply.ending, reply.rung, Some(reply.source)), now.instant);
        reply
    }

    /// Takes a value record, if it is valid and the best one of its key. What was taken is seen by every read.
    ///
    /// # Cancel safety
    /// A dropped future counts as abandoned; the record is taken or not.
    pub async fn put_value(&self, caller: Caller, key: &[u8], record: PutRecord<'_>) -> Put {
        let parts = &*self.parts;
        let mut trace = self.trace(Operation::PutValue, caller.head);
        // U1, U4: all of it before anything is parsed.
        let is_fitting = record.key == key && record.value.len() <= ValueRecord::LEN_MAX;
        let is_kept = |key: &ValueKey| is_fitting && values::is_kept(key) && parts.values.are_kept();
        let value_key = ValueKey::new(key).ok().filter(is_kept);
        let Some(value_key) = value_key else {
            trace.end(&Departure::at_once(Ending::Refused, Rung::Full));
            return Put::Refused;
        };
        let now = parts.clock.read();
        let request = caller.request(Operation::PutValue, key);
        let mut ticket = parts.chain.ticket(&request, now.instant);
        let rung = match self.admit(&mut trace, &mut ticket) {
            Ok(rung) => rung,
            Err(turned_away) => {
                trace.end(&turned_away);
                return Put::of(turned_away.ending);
            }
        };
        let distance = parts.ladder.distance_on(rung, &caller, key);
        let ending = parts.values.put(&caller, (value_key, record.value), (rung, distance), now).await;
        self.settle(trace, ticket, (ending, rung, None), now.instant);
        Put::of(ending)
    }

    /// The date by the engine's clock.
    pub fn date(&self) -> UnixSeconds {
        self.parts.clock.unix()
    }

    /// Counts a request that needs no store and is answered in any case: FIND_NODE, PING. Policies are not asked about
    /// it (ADR 9).
    pub fn answered(&self, operation: Operation, head: u32) {
        self.trace(operation, head).end(&Departure::at_once(Ending::Served, Rung::Full));
    }

    /// The rung of the node: the higher one of those of reads and writes.
    pub fn rung(&self) -> Rung {
        self.parts.ladder.rung()
    }

    /// The rung of reads.
    pub fn read_rung(&self) -> Rung {
        self.parts.ladder.read_rung()
    }

    /// The rung of writes.
    pub fn write_rung(&self) -> Rung {
        self.parts.ladder.write_rung()
    }

    /// Why reads and writes are on their rungs, in the words of the log; empty on the full one.
    pub fn rung_reasons(&self) -> [&'static str; 2] {
        self.parts.ladder.because()
    }

    /// Has the caches and the write queue use this share of their configured memory from now on. Cached answers beyond it are
    /// evicted at once; announcements that were accepted stay until they are written.
    pub fn set_memory_share(&self, share: MemoryShare) {
        self.parts.reader.set_share(share);
        self.parts.values.set_share(share);
        self.parts.queue.set_share(share);
    }

    /// What reads and writes do without on their rungs, in the words of the log; empty on the full one.
    pub fn rung_effects(&self) -> [&'static str; 2] {
        self.parts.ladder.effects()
    }

    /// How busy the node is.
    pub fn load(&self) -> Load {
        self.parts.load(self.rung())
    }

    /// Ends a request that may have waited for the store.
    fn settle(
        &self,
        trace: RequestTrace<'_>,
        mut ticket: Ticket<'_, '_>,
        (ending, rung, source): (Ending, Rung, Option<Source>),
        begun: Instant,
    ) {
        let ended = if source == Some(Source::Cache) { begun } else { self.parts.clock.now() };
        let took = ended.saturating_duration_since(begun);
        trace.end(&Departure { ending, rung, source, time: Some((begun, took)), call: None });
        ticket.settle(&ending.outcome(rung, took), ended);
    }

    fn trace(&self, operation: Operation, head: u32) -> RequestTrace<'_> {
        RequestTrace::new(&self.parts.backend.tracer, &self.parts.stats, operation, head)
    }

    /// Lets a request for the store in, unless the engine is closing, a policy declines, or the node is on the rung of full
    /// decline; the rung on which it is served.
    ///
    /// The policies are asked first: what they decline takes nothing of the node's peak, so that a single peer's excess
    /// does not decline everybody (ADR 14).
    #[inline]
    fn admit<'a>(
        &'a self,
        trace: &mut RequestTrace<'a>,
        ticket: &mut Ticket<'a, '_>,
    ) -> Result<Rung, Departure> {
        let parts = &*self.parts;
        let operation = trace.operation();
        let standing = parts.ladder.rung_of(operation);
        if parts.writer.is_closing() {
            return Err(Departure::at_once(Ending::Shed, standing));
        }
        let declined = |_| Departure::at_once(Ending::Declined, Rung::RoutingOnly);
        trace.admit(ticket, &parts.load(standing)).map_err(declined)?;
        let node_rung = parts.ladder.record(operation);
        if node_rung == Rung::RoutingOnly {
            ticket.shed();
            return Err(Departure::at_once(Ending::Shed, node_rung));
        }
        Ok(ticket.rung().max(node_rung))
    }
}

#[cfg(test)]
mod tests;

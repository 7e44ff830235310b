//! The desk at which every request is handled.

use crate::chain::{Decision, NamedPolicy, Ticket};
use crate::chores::Chores;
use crate::clock::Clock;
use crate::config::Config;
use crate::core::Core;
use crate::flights::Departure;
use crate::key::{self, Refused};
use crate::stats::{Ending, Snapshot};
use crate::trace::Watch;
use crate::visit::{Departing, Visit};
use hydra_api::{
    Addresses, ContentKey, Load, Operation, Outcome, PeerId, Provider, ProviderRecord, ProviderStore, Reason,
    Request, Rung, Verdict,
};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Handles the requests of all heads over one store.
#[derive(Debug)]
pub struct Desk {
    pub(crate) core: Arc<Core>,
    pub(crate) chores: Chores,
}

/// A store and the name by which traces call it.
#[derive(Debug, Clone)]
pub struct NamedStore {
    /// Its name: the kind of its plugin.
    pub name: String,
    /// The store.
    pub store: Arc<dyn ProviderStore>,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The authenticated id of the peer.
    pub peer: PeerId,
    /// Where the connection comes from; `None` when it is relayed.
    pub address: Option<IpAddr>,
    /// The slot of the head that was asked.
    pub head: u32,
}

/// The answer to a read. In every case the client also gets closer peers (V15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The providers, freshest first; none unless [`Self::ended`] is [`Ended::Full`].
    pub providers: Vec<Provider>,
    /// The rung on which the request was served.
    pub rung: Rung,
    /// How it ended.
    pub ended: Ended,
    /// Where the providers come from.
    pub source: Source,
    /// The store call that was made for it, by itself or together with others.
    pub call: Option<Departure>,
}

/// Where the answer to a read comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// There is none.
    Nothing,
    /// From the store, asked for it.
    Store,
    /// From the store, asked for somebody else who wanted the same key at the same time.
    Shared,
    /// From the cache.
    Cache,
    /// From the cache, older than it would be given while the store answers.
    StaleCache,
}

/// How a read ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// From the store, or from what is kept of its answers.
    Full,
    /// The soft deadline came first.
    Late,
    /// No permit was free within the time a read may wait.
    NoPermit,
    /// The store failed.
    StoreFailed,
    /// A policy declined, or the node's rung leaves the store alone, or the node is closing.
    Declined,
    /// The key is one for which no store is asked (V20).
    NotKept,
}

/// How an announcement was taken. The client gets no reply in any case (V5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// It waits to be written.
    Taken,
    /// It waits in the place of an earlier one of the same key and provider.
    Merged,
    /// The record was written not long ago, and the node is too busy to write it again.
    Known,
    /// There was no room for it.
    Dropped,
    /// A policy declined, or the node's rung takes no writes, or the node is closing.
    Declined,
}

/// What the policies say of a request that needs no store. It is answered in any case: FIND_NODE with closer peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    /// Answer it as well as the node can.
    Admitted,
    /// Answer it with what is at hand.
    Declined(Reason),
}

impl Desk {
    /// A desk over this store, with its chores running in tasks of the current tokio runtime. Who watches hears of every
    /// request.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(
        store: NamedStore,
        policies: Vec<NamedPolicy>,
        config: Config,
        clock: Clock,
        watch: Option<Arc<dyn Watch>>,
    ) -> Arc<Self> {
        let core = Arc::new(Core::new(store, policies, config, clock, watch));
        Arc::new(Self { chores: Chores::start(&core), core })
    }

    /// The providers of a key.
    ///
    /// # Errors
    /// [`Refused`] when the key is malformed: the stream is to be reset.
    ///
    /// # Cancel safety
    /// A dropped future counts as abandoned. A store call that it has started goes on to its end, under its permit.
    pub async fn providers(&self, caller: Caller, key: &[u8]) -> Result<Found, Refused> {
        let core = &*self.core;
        let mut visit = Visit::new(core, Operation::GetProviders, caller.head);
        let content = match ContentKey::new(key) {
            Ok(content) => content,
            Err(cause) => {
                visit.end(Departing::at_once(Ending::Refused, Rung::Full));
                return Err(cause.into());
            }
        };
        let (ticket, node_rung) = match self.enter(&mut visit, caller, key) {
            Ok(entered) => entered,
            Err(turned_away) => {
                let rung = turned_away.rung;
                visit.end(turned_away);
                return Ok(Found::nothing(Ended::Declined, rung));
            }
        };
        let rung = ticket.rung().max(node_rung);
        let found = core.read(content, rung, ticket.started(), &visit.span).await;
        let now = core.clock.now();
        let took = now.saturating_duration_since(ticket.started());
        let outcome = match found.ended {
            Ended::Full | Ended::NotKept => Outcome::Served { rung, took },
            Ended::Late | Ended::NoPermit | Ended::StoreFailed | Ended::Declined => {
                Outcome::Degraded { took }
            }
        };
        visit.end(Departing {
            ending: found.ended.counted(),
            rung: found.rung,
            source: Some(found.source),
            time: Some((ticket.started(), took)),
            call: found.call,
        });
        ticket.settle(&outcome, now);
        Ok(found)
    }

    /// Takes the announcement that the caller provides `key` and can be reached at `addresses`, which are made up only
    /// when the announcement is admitted.
    ///
    /// # Errors
    /// [`Refused`] when the key is malformed: the stream is to be reset.
    pub fn announce(
        &self,
        caller: Caller,
        key: &[u8],
        addresses: impl FnOnce() -> Addresses,
    ) -> Result<Announced, Refused> {
        let core = &*self.core;
        let mut visit = Visit::new(core, Operation::AddProvider, caller.head);
        let content = match key::announced(key, core.limits.announced_keys) {
            Ok(content) => content,
            Err(cause) => {
                visit.end(Departing::at_once(Ending::Refused, Rung::Full));
                return Err(cause);
            }
        };
        let (ticket, node_rung) = match self.enter(&mut visit, caller, key) {
            Ok(entered) => entered,
            Err(turned_away) => {
                visit.end(turned_away);
                return Ok(Announced::Declined);
            }
        };
        let rung = ticket.rung().max(node_rung);
        let expires = core.clock.unix().saturating_add(core.limits.record_ttl);
        let record = ProviderRecord { key: content, provider: caller.peer, addresses: addresses(), expires };
        let (announced, ending) = core.take(record, rung);
        let took = Duration::ZERO;
        let outcome = match announced {
            Announced::Taken | Announced::Merged | Announced::Known => Outcome::Served { rung, took },
            Announced::Dropped | Announced::Declined => Outcome::Degraded { took },
        };
        visit.end(Departing::at_once(ending, rung));
        let now = ticket.started();
        ticket.settle(&outcome, now);
        Ok(announced)
    }

    /// Lets a request for the store in, unless the node stands on the rung of full decline, is closing, or a policy
    /// declines.
    fn enter<'a>(
        &'a self,
        visit: &mut Visit<'a>,
        caller: Caller,
        key: &'a [u8],
    ) -> Result<(Ticket<'a>, Rung), Departing> {
        let core = &*self.core;
        let rung = core.ladder.note_request();
        if rung == Rung::RoutingOnly || core.is_closing() {
            return Err(Departing::at_once(Ending::Shed, rung));
        }
        match visit.admit(caller, key, &core.load(rung), core.clock.now()) {
            Decision::Admitted(ticket) => Ok((ticket, rung)),
            Decision::Declined(_) => Err(Departing::at_once(Ending::Declined, Rung::RoutingOnly)),
        }
    }

    /// Asks the policies about a request that needs no store, and tells them that it was served.
    ///
    /// They are shown an idle node: nobody is kept from finding closer peers because the store is busy.
    pub fn admit_routing(&self, caller: Caller, operation: Operation, key: &[u8]) -> Routing {
        let core = &*self.core;
        let now = core.clock.now();
        let mut visit = Visit::new(core, operation, caller.head);
        match visit.admit(caller, key, &Load::IDLE, now) {
            Decision::Admitted(ticket) => {
                let rung = ticket.rung();
                ticket.settle(&Outcome::Served { rung, took: Duration::ZERO }, now);
                visit.end(Departing::at_once(Ending::Served, rung));
                Routing::Admitted
            }
            Decision::Declined(judged) => {
                visit.end(Departing::at_once(Ending::Declined, Rung::RoutingOnly));
                match judged.verdict {
                    Verdict::Decline(reason) => Routing::Declined(reason),
                    Verdict::Admit | Verdict::Degrade(_) => Routing::Admitted,
                }
            }
        }
    }

    /// The rung on which the node stands.
    pub fn rung(&self) -> Rung {
        self.core.ladder.rung()
    }

    /// How busy the node is.
    pub fn load(&self) -> Load {
        self.core.load(self.rung())
    }

    /// What has been counted, and how full the node is.
    pub fn stats(&self) -> Snapshot {
        self.core.snapshot()
    }
}

impl Caller {
    pub(crate) const fn request(self, operation: Operation, key: &[u8]) -> Request<'_> {
        Request::new(operation, self.peer, self.address, self.head, key)
    }
}

impl Found {
    pub(crate) const fn nothing(ended: Ended, rung: Rung) -> Self {
        Self { providers: Vec::new(), rung, ended, source: Source::Nothing, call: None }
    }
}

impl Source {
    /// The word for it in traces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Store => "store",
            Self::Shared => "shared",
            Self::Cache => "cache",
            Self::StaleCache => "stale_cache",
        }
    }
}

impl Ended {
    /// The ending of a request that the policies admitted.
    const fn counted(self) -> Ending {
        match self {
            Self::Full => Ending::Served,
            Self::Late => Ending::Late,
            Self::NoPermit => Ending::NoPermit,
            Self::StoreFailed => Ending::StoreFailed,
            Self::Declined => Ending::Shed,
            Self::NotKept => Ending::NotKept,
        }
    }
}

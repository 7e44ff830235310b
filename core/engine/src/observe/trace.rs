//! The spans of a request while it is served, or its account when it has ended.
//!
//! Span and attribute names are those of OpenTelemetry's semantic conventions (1.42) for RPC servers and database clients;
//! what they have no name for begins with `hydra.`. No span holds a peer, a key or an address.

use super::stats::StoreCall;
use crate::admission::Judged;
use crate::request::{Ending, ReadCall, Source};
use hydra_api::{Operation, Rung, StoreProfile};
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tracing::field::Empty;
use tracing::{Span, info_span};

/// The target of every span of a request.
pub const TARGET: &str = "hydra::request";

/// What `rpc.system.name` says.
pub const RPC_SYSTEM: &str = "libp2p_kad";

/// Observes every request, in the request's own task: nanoseconds count.
pub trait Watch: Debug + Send + Sync + 'static {
    /// Whether to make spans for a request, or a batch of writes, that begins now.
    fn traces(&self) -> bool;

    /// Called when a request without spans has ended.
    fn ended(&self, account: &Account<'_>);
}

/// Who observes requests, and the names of the store in what is observed.
#[derive(Debug)]
pub(crate) struct Tracer {
    watch: Option<Arc<dyn Watch>>,
    /// The kind of the store.
    store: String,
    /// The database system behind it: not known before the store is open.
    system: OnceLock<&'static str>,
}

impl Tracer {
    pub(crate) fn new(watch: Option<Arc<dyn Watch>>, store: String) -> Self {
        Self { watch, store, system: OnceLock::new() }
    }

    pub(super) fn watch(&self) -> Option<&dyn Watch> {
        self.watch.as_deref()
    }

    pub(super) fn store(&self) -> &str {
        &self.store
    }

    /// The name of the database system: that which the store has told, else its kind.
    pub(super) fn system(&self) -> &str {
        self.system.get().copied().unwrap_or(&self.store)
    }

    /// Takes up what the store says of the system behind it. It says the same each time.
    pub(crate) fn learn(&self, profile: &StoreProfile) {
        if let Some(system) = profile.system {
            self.system.get_or_init(|| system);
        }
    }

    #[inline]
    pub(super) fn traces(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.traces())
    }
}

/// How a request went.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Account<'a> {
    /// What was asked for.
    pub operation: Operation,
    /// The slot of the head that was asked.
    pub head: u32,
    /// What the policies said; `None` when they were not asked.
    pub judged: Option<Judged<'a>>,
    /// The rung on which it was served.
    pub rung: Rung,
    /// How it ended.
    pub ending: Ending,
    /// Where the answer to a read comes from.
    pub source: Option<Source>,
    /// When it began, and how long it took; nothing when it was answered at once.
    pub time: Option<(Instant, Duration)>,
    /// The store call that read for it.
    pub call: Option<ReadCall>,
    /// The kind of the store.
    pub store: &'a str,
    /// The database system behind the store; its kind when there is none.
    pub system: &'a str,
}

impl<'a> Account<'a> {
    /// A request that was served in full, at once, without cache or store. Tests change the rest.
    pub const fn new(operation: Operation, head: u32, store: &'a str) -> Self {
        Self {
            operation,
            head,
            judged: None,
            rung: Rung::Full,
            ending: Ending::Served,
            source: None,
            time: None,
            call: None,
            store,
            system: store,
        }
    }

    /// What the cache had: `hit`, `stale` or `miss`; `None` when it was not asked.
    pub const fn cache(&self) -> Option<&'static str> {
        match self.source {
            None => None,
            Some(Source::Cache) => Some("hit"),
            Some(Source::StaleCache) => Some("stale"),
            Some(Source::Store | Source::Shared | Source::WriteQueue | Source::Nothing) => Some("miss"),
        }
    }
}

/// The name of a request in traces, fully qualified.
pub const fn method(operation: Operation) -> &'static str {
    match operation {
        Operation::FindNode => "kad/FIND_NODE",
        Operation::GetProviders => "kad/GET_PROVIDERS",
        Operation::AddProvider => "kad/ADD_PROVIDER",
        Operation::GetValue => "kad/GET_VALUE",
        Operation::PutValue => "kad/PUT_VALUE",
        Operation::Ping => "kad/PING",
        _ => "kad",
    }
}

/// Writes a verdict onto a span.
pub(crate) fn judge(span: &Span, judged: &Judged<'_>) {
    span.record("hydra.verdict", judged.word());
    if let Some(policy) = judged.policy {
        span.record("hydra.policy", policy);
    }
    if let Some(reason) = judged.reason {
        span.record("hydra.reason", reason);
    }
}

pub(crate) fn request(operation: Operation, head: u32) -> Span {
    info_span!(
        target: TARGET,
        parent: None,
        "request",
        otel.name = method(operation),
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = RPC_SYSTEM,
        rpc.method = method(operation),
        error.type = Empty,
        hydra.head = head,
        hydra.verdict = Empty,
        hydra.policy = Empty,
        hydra.reason = Empty,
        hydra.rung = Empty,
        hydra.outcome = Empty,
        hydra.cache = Empty,
        hydra.source = Empty,
    )
}

/// The question to the policies; disabled as the request's own span is.
pub(crate) fn admission(request: &Span) -> Span {
    if request.is_disabled() {
        return Span::none();
    }
    info_span!(
        target: TARGET,
        parent: request,
        "admission",
        hydra.verdict = Empty,
        hydra.policy = Empty,
        hydra.reason = Empty,
    )
}

/// The wait for a permit; disabled as the request's own span is.
pub(crate) fn waiting(request: &Span) -> Span {
    if request.is_disabled() {
        return Span::none();
    }
    info_span!(target: TARGET, parent: request, "store gate")
}

/// A call of the store for the first of these requests; the others are linked to it. Disabled when there is none.
pub(crate) fn reading(tracer: &Tracer, requests: &[Span], keys: usize) -> Span {
    let Some((first, others)) = requests.split_first() else { return Span::none() };
    let span = call(tracer, first, StoreCall::Providers, keys);
    for other in others {
        other.follows_from(&span);
    }
    span
}

/// A call of the store that is made for no request; disabled unless it is traced.
pub(crate) fn background(tracer: &Tracer, kind: StoreCall, records: usize) -> Span {
    if tracer.traces() { call(tracer, &Span::none(), kind, records) } else { Span::none() }
}

fn call(tracer: &Tracer, parent: &Span, kind: StoreCall, batch: usize) -> Span {
    let (store, operation) = (tracer.store(), kind.as_str());
    info_span!(
        target: TARGET,
        parent: parent.id(),
        "store",
        otel.name = format!("{operation} {store}"),
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = tracer.system(),
        db.operation.name = operation,
        db.operation.batch.size = batch,
        error.type = Empty,
    )
}

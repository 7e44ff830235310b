//! The spans of a traced request.

use crate::doubles::{FAILS, Ledger, Mood, Store, addresses, caller, key, millis, open_watched, permits};
use hydra_api::{ReasonId, Verdict};
use hydra_engine::{Account, Engine, Watch};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tokio::time::sleep;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Has spans made for every request.
#[derive(Debug)]
struct All;

impl Watch for All {
    fn traces(&self) -> bool {
        true
    }

    fn ended(&self, account: &Account<'_>) {
        panic!("a traced request is told by its span alone: {account:?}");
    }
}

/// A span as it was made.
#[derive(Debug, Clone, Default)]
struct Seen {
    name: &'static str,
    parent: Option<u64>,
    fields: BTreeMap<&'static str, String>,
    linked_to: Option<u64>,
}

/// Keeps every span of a request.
#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<BTreeMap<u64, Seen>>>);

struct Fields<'a>(&'a mut Seen);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.fields.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S: tracing::Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        if attributes.metadata().target() != hydra_engine::trace::TARGET {
            return;
        }
        let mut seen = Seen {
            name: attributes.metadata().name(),
            parent: attributes.parent().map(Id::into_u64),
            ..Seen::default()
        };
        attributes.record(&mut Fields(&mut seen));
        self.0.lock().unwrap().insert(id.into_u64(), seen);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some(seen) = self.0.lock().unwrap().get_mut(&id.into_u64()) {
            values.record(&mut Fields(seen));
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, _: Context<'_, S>) {
        if let Some(seen) = self.0.lock().unwrap().get_mut(&id.into_u64()) {
            seen.linked_to = Some(follows.into_u64());
        }
    }
}

impl Spans {
    /// Begins to keep the spans of this thread, for as long as the guard lives.
    fn watch() -> (Self, DefaultGuard) {
        let spans = Self::default();
        let subscriber = tracing_subscriber::registry().with(spans.clone());
        (spans, tracing::subscriber::set_default(subscriber))
    }

    fn named(&self, name: &str) -> Vec<(u64, Seen)> {
        let spans = self.0.lock().unwrap();
        spans.iter().filter(|(_, span)| span.name == name).map(|(id, span)| (*id, span.clone())).collect()
    }

    fn only(&self, name: &str) -> (u64, Seen) {
        let mut named = self.named(name);
        assert_eq!(named.len(), 1, "{name}: {named:?}");
        named.remove(0)
    }
}

fn traced(store: &Arc<Store>, ledger: &Arc<Ledger>) -> Arc<Engine> {
    open_watched(store, vec![ledger.named("ledger")], permits(1), Some(Arc::new(All)))
}

fn has(seen: &Seen, fields: &[(&str, &str)]) {
    for (field, expected) in fields {
        assert_eq!(seen.fields.get(field).map(String::as_str), Some(*expected), "{field} of {seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_is_traced_from_the_verdict_to_the_store_call() {
    let store = Store::new(1, 256);
    let engine = traced(&store, &Ledger::admits_all());
    sleep(millis(10)).await;
    let (spans, _guard) = Spans::watch();
    engine.providers(caller(0), &key(1)).await.unwrap();

    let (root, request) = spans.only("request");
    has(
        &request,
        &[
            ("otel.name", "kad/GET_PROVIDERS"),
            ("otel.kind", "server"),
            ("rpc.system.name", "libp2p_kad"),
            ("hydra.head", "0"),
            ("hydra.verdict", "admit"),
            ("hydra.rung", "full"),
            ("hydra.outcome", "served"),
            ("hydra.cache", "miss"),
            ("hydra.source", "store"),
        ],
    );
    let (_, admission) = spans.only("admission");
    has(&admission, &[("hydra.verdict", "admit")]);
    let (_, call) = spans.only("store");
    has(
        &call,
        &[
            ("otel.name", "providers test"),
            ("otel.kind", "client"),
            ("db.system.name", "test"),
            ("db.operation.name", "providers"),
            ("db.operation.batch.size", "1"),
        ],
    );
    for part in [&admission, &spans.only("store gate").1, &call] {
        assert_eq!(part.parent, Some(root));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_names_the_database_system_that_the_store_names() {
    let store = Store::new(1, 256);
    let engine = traced(&store, &Ledger::admits_all());
    sleep(millis(10)).await;
    // As a store does that is opened after the engine.
    store.names_its_system("postgresql");
    sleep(millis(200)).await;
    let (spans, _guard) = Spans::watch();
    engine.providers(caller(0), &key(1)).await.unwrap();
    let named = [("otel.name", "providers test"), ("db.system.name", "postgresql")];
    has(&spans.only("store").1, &named);
}

#[tokio::test(start_paused = true)]
async fn a_decline_and_a_failure_say_why() {
    let store = Store::new(1, 256);
    let engine = traced(&store, &Ledger::new(|_, _| Verdict::Decline(ReasonId(0))));
    sleep(millis(10)).await;
    let (spans, _guard) = Spans::watch();
    engine.announce(caller(0), &key(1), || addresses(0)).unwrap();
    let why = [("hydra.verdict", "decline"), ("hydra.policy", "ledger"), ("hydra.reason", "too_much")];
    has(&spans.only("admission").1, &why);
    has(&spans.only("request").1, &why);
    has(&spans.only("request").1, &[("hydra.outcome", "declined"), ("hydra.rung", "routing_only")]);

    let engine = traced(&store, &Ledger::admits_all());
    sleep(millis(10)).await;
    let (spans, _guard) = Spans::watch();
    store.set(FAILS);
    engine.providers(caller(0), &key(1)).await.unwrap();
    has(&spans.only("store").1, &[("error.type", "unavailable"), ("otel.status_code", "ERROR")]);
    has(&spans.only("request").1, &[("hydra.outcome", "store_failed"), ("otel.status_code", "ERROR")]);
}

#[tokio::test(start_paused = true)]
async fn requests_that_share_a_store_call_are_linked_to_it() {
    let store = Store::new(1, 256);
    let engine = traced(&store, &Ledger::admits_all());
    sleep(millis(10)).await;
    store.set(Mood::Takes(millis(15)));
    let (spans, _guard) = Spans::watch();
    let keys = [key(1), key(2), key(3)];
    let read = |number: usize| engine.providers(caller(0), &keys[number]);
    let (first, second, third) = tokio::join!(read(0), read(1), read(2));
    assert!([first, second, third].into_iter().all(|found| found.is_ok()));
    let calls = spans.named("store");
    assert_eq!(calls.len(), 2, "one for the first, one for the two that waited");
    let (shared, call) =
        calls.iter().find(|(_, call)| call.fields["db.operation.batch.size"] == "2").unwrap();
    let requests: Vec<_> = spans.named("request");
    let above: Vec<_> = requests.iter().filter(|(id, _)| call.parent == Some(*id)).collect();
    let linked: Vec<_> = requests.iter().filter(|(_, request)| request.linked_to == Some(*shared)).collect();
    assert_eq!((above.len(), linked.len()), (1, 1));
    assert_ne!(above[0].0, linked[0].0);
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_is_traced_as_abandoned() {
    let store = Store::new(1, 256);
    let engine = traced(&store, &Ledger::admits_all());
    sleep(millis(10)).await;
    store.set(Mood::Frozen);
    let (spans, _guard) = Spans::watch();
    assert!(tokio::time::timeout(millis(5), engine.providers(caller(0), &key(1))).await.is_err());
    has(&spans.only("request").1, &[("hydra.outcome", "abandoned")]);
}

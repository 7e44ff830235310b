use super::*;
use hydra_api::{Operation, ReasonId, Verdict};
use hydra_engine::{Judged, ReadCall, Source};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use std::sync::Mutex;

/// Keeps what was exported.
#[derive(Debug, Clone, Default)]
struct Exported(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Exported {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl Exported {
    fn take(&self) -> Vec<SpanData> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn traces(config: &config::Traces) -> (Arc<Traces>, Exported, SdkTracerProvider) {
    let exported = Exported::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exported.clone()).build();
    (Traces::start(config, provider.tracer("test")), exported, provider)
}

/// A read that was served in full at once.
fn account() -> Account<'static> {
    Account::new(Operation::GetProviders, 7, "fjall")
}

fn value(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key)?;
    Some(found.value.to_string())
}

#[tokio::test]
async fn the_ratio_is_the_part_that_is_traced() {
    const ASKED: u32 = 10_000;
    for (ratio, least, most) in [(0.0, 0, 0), (0.25, 2_000, 3_000), (1.0, ASKED, ASKED)] {
        let (traces, _, _provider) = traces(&config::Traces { ratio, ..config::Traces::default() });
        let taken = (0..ASKED).filter(|_| traces.traces()).count() as u32;
        assert!((least..=most).contains(&taken), "{taken} of {ASKED} at {ratio}");
        assert_eq!(traces.counts().sampled(), u64::from(taken));
    }
}

#[tokio::test]
async fn a_slow_request_is_kept_with_its_store_call() {
    let (traces, exported, _provider) = traces(&config::Traces::default());
    let took = Duration::from_millis(300);
    let started = Instant::now() - took;
    let mut account = account();
    account.judged = Some(Judged::ADMITTED);
    account.source = Some(Source::Store);
    account.system = "postgresql";
    account.time = Some((started, took));
    let at = started + Duration::from_millis(20);
    account.call = Some(ReadCall { at, keys: 12, ending: Some(Ending::Served) });
    traces.ended(&account);

    let spans = exported.take();
    let [store, request] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((request.name.as_ref(), &request.span_kind), ("kad/GET_PROVIDERS", &SpanKind::Server));
    for (key, expected) in [
        ("rpc.system.name", "libp2p_kad"),
        ("rpc.method", "kad/GET_PROVIDERS"),
        ("hydra.head", "7"),
        ("hydra.verdict", "admit"),
        ("hydra.rung", "full"),
        ("hydra.outcome", "served"),
        ("hydra.cache", "miss"),
        ("hydra.source", "store"),
    ] {
        assert_eq!(value(request, key).as_deref(), Some(expected), "{key}");
    }
    assert_eq!((store.name.as_ref(), &store.span_kind), ("providers fjall", &SpanKind::Client));
    assert_eq!(store.parent_span_id, request.span_context.span_id());
    assert_eq!(store.span_context.trace_id(), request.span_context.trace_id());
    assert_eq!(value(store, "db.system.name").as_deref(), Some("postgresql"));
    assert_eq!(value(store, "db.operation.batch.size").as_deref(), Some("12"));
    assert_eq!(value(store, "hydra.unanswered").as_deref(), Some("false"));
    assert!(request.end_time.duration_since(request.start_time).unwrap() >= took, "the times are told");
    assert!(store.start_time.duration_since(request.start_time).unwrap() >= Duration::from_millis(19));
}

#[tokio::test]
async fn a_call_is_exported_with_its_own_ending() {
    let (traces, exported, _provider) = traces(&config::Traces::default());
    for (ending, unanswered, error) in [
        (None, "true", None),
        (Some(Ending::StoreFailed), "false", Some("store_failed")),
        (Some(Ending::Served), "false", None),
    ] {
        // What the cache still had was good enough.
        let mut account = account();
        (account.rung, account.source) = (Rung::Stale, Some(Source::StaleCache));
        account.call = Some(ReadCall { at: Instant::now(), keys: 1, ending });
        traces.ended(&account);
        let spans = exported.take();
        let [store, request] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(value(store, "hydra.unanswered").as_deref(), Some(unanswered), "{ending:?}");
        assert_eq!(value(store, "error.type").as_deref(), error, "{ending:?}");
        assert_eq!(store.status, error.map_or(Status::Unset, |_| Status::error("")), "{ending:?}");
        assert_eq!(request.status, Status::Unset, "it was served");
    }
}

#[tokio::test]
async fn degraded_requests_are_kept_and_others_are_not() {
    let (traces, exported, _provider) = traces(&config::Traces::default());
    traces.ended(&account());
    let mut refused = account();
    refused.ending = Ending::Refused;
    traces.ended(&refused);
    assert!(exported.take().is_empty());

    let mut declined = account();
    declined.ending = Ending::Declined;
    declined.rung = Rung::RoutingOnly;
    declined.judged = Some(Judged {
        verdict: Verdict::Decline(ReasonId(0)),
        policy: Some("token-bucket"),
        reason: Some("too_much"),
    });
    traces.ended(&declined);
    let mut short = account();
    short.rung = Rung::Short;
    traces.ended(&short);
    let spans = exported.take();
    assert_eq!(spans.len(), 2);
    assert_eq!(value(&spans[0], "hydra.verdict").as_deref(), Some("decline"));
    assert_eq!(value(&spans[0], "hydra.policy").as_deref(), Some("token-bucket"));
    assert_eq!(value(&spans[0], "hydra.reason").as_deref(), Some("too_much"));
    assert_eq!(value(&spans[1], "hydra.rung").as_deref(), Some("short"));
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_node_keeps_no_more_than_its_limit() {
    let config = config::Traces { kept_per_second_max: 10, ..config::Traces::default() };
    let (traces, exported, _provider) = traces(&config);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut shed = account();
    shed.ending = Ending::Shed;
    (0..1_000).for_each(|_| traces.ended(&shed));
    assert_eq!((traces.counts().kept(), traces.counts().skipped()), (10, 990));
    tokio::time::sleep(Duration::from_secs(1)).await;
    (0..1_000).for_each(|_| traces.ended(&shed));
    assert_eq!(traces.counts().kept(), 20, "the next second has room again");
    assert_eq!(exported.take().len(), 20);
}

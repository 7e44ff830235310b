//! The exporter as a program that embeds a node uses it: spans made with `tracing`, and a collector.

use crate::collector::{Collector, Manner, PROTOCOLS, nowhere};
use crate::span::{Span, trees};
use hydra_api::SecretSource;
use hydra_node::config::{Otlp, OtlpProtocol};
use hydra_node::telemetry::{Exporter, REQUESTS};
use opentelemetry::trace::{Span as _, SpanKind, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind as SentKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use std::time::{Duration, Instant, SystemTime};
use tracing::field::Empty;
use tracing::{Level, info_span};
use tracing_subscriber::layer::SubscriberExt;

/// Longer than any test waits for anything.
const LONG: Duration = Duration::from_secs(60);
const QUEUE_LEN_MAX: u32 = 256;

fn otlp(endpoint: &str, protocol: &str) -> Otlp {
    let protocol = OtlpProtocol::ALL.into_iter().find(|known| known.as_str() == protocol);
    assert!(protocol.is_some());
    Otlp { endpoint: Some(endpoint.to_owned()), protocol, queue_len_max: QUEUE_LEN_MAX, ..Otlp::default() }
}

/// Runs this with the exporter's layer and nothing else.
fn traced<T>(exporter: &Exporter, run: impl FnOnce() -> T) -> T {
    let subscriber = tracing_subscriber::registry().with(exporter.layer());
    tracing::subscriber::with_default(subscriber, run)
}

/// Makes so many requests of one span each, as fast as they go, and returns how long that took.
fn make(exporter: &Exporter, requests: u64) -> Duration {
    traced(exporter, || {
        let start = Instant::now();
        (0..requests).for_each(|_| drop(info_span!(target: REQUESTS, "request")));
        start.elapsed()
    })
}

#[tokio::test]
async fn a_request_arrives_with_all_that_was_made_inside_of_it_and_nothing_else() {
    for protocol in PROTOCOLS {
        let collector = Collector::start(Manner::Takes).await;
        let exporter = Exporter::start(&otlp(&collector.endpoint(), protocol)).unwrap();
        traced(&exporter, || {
            info_span!("elsewhere").in_scope(|| tracing::error!("elsewhere"));
            let request = info_span!(target: REQUESTS, "request", otel.name = "kad/PING", otel.kind = "server",
                hydra.head = 3, hydra.rung = Empty);
            request.in_scope(|| {
                tracing::warn!(why = "so", "inside");
                tracing::info!("not worth an event");
                tracing::debug_span!("not worth a span").in_scope(|| info_span!("of a plugin"));
            });
            let call = info_span!(target: REQUESTS, parent: &request, "store", otel.status_code = "ERROR");
            call.in_scope(|| info_span!("of a store"));
            drop(call);
            request.record("hydra.rung", "full");
            info_span!("afterwards").in_scope(|| ());
        });
        exporter.stop(LONG).await;

        let spans = collector.spans();
        assert_eq!(trees(&spans), ["kad/PING(of a plugin, store(of a store))"], "{protocol}: {spans:#?}");
        let request = spans.iter().find(|span| span.is_root()).unwrap();
        assert_eq!(request.kind, SentKind::Server);
        assert_eq!((request.get("hydra.head"), request.get("hydra.rung")), ("3", "full"));
        let [(event, attributes)] = &request.events[..] else { panic!("{request:?}") };
        assert_eq!((event.as_str(), attributes["why"].as_str()), ("inside", "so"));
        assert_eq!(request.children(&spans)[1].status, StatusCode::Error);
        assert_eq!(exporter.stats().unwrap().exported(), 4);
        who_sends(request);
    }
}

fn who_sends(span: &Span) {
    assert_eq!(span.resource["service.name"], "hydra");
    assert_eq!(span.resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(span.resource["service.instance.id"].len(), 36);
    assert_eq!(span.resource["telemetry.sdk.language"], "rust");
}

#[tokio::test]
async fn spans_that_are_made_afterwards_have_the_times_that_they_are_given() {
    let collector = Collector::start(Manner::Takes).await;
    let exporter = Exporter::start(&otlp(&collector.endpoint(), "grpc")).unwrap();
    let tracer = exporter.tracer().unwrap();
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let mut request = tracer
        .span_builder("request")
        .with_kind(SpanKind::Server)
        .with_start_time(at(100))
        .with_attributes([KeyValue::new("hydra.outcome", "late")])
        .start_with_context(tracer, &Context::new());
    let above = Context::new().with_remote_span_context(request.span_context().clone());
    tracer
        .span_builder("store")
        .with_start_time(at(101))
        .start_with_context(tracer, &above)
        .end_with_timestamp(at(102));
    request.end_with_timestamp(at(103));
    exporter.stop(LONG).await;
    let spans = collector.spans();
    assert_eq!(trees(&spans), ["request(store)"]);
    let request = spans.iter().find(|span| span.is_root()).unwrap();
    assert_eq!((request.start, request.end), (100_000_000_000, 103_000_000_000));
    assert_eq!(request.get("hydra.outcome"), "late");
}

#[tokio::test]
async fn headers_go_along_as_they_are_in_their_files() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "Bearer 100%41 =,\n").unwrap();
    for protocol in PROTOCOLS {
        let collector = Collector::start(Manner::Takes).await;
        let headers = [("Authorization".to_owned(), SecretSource::File(file.path().into()))].into();
        let config = Otlp { headers, ..otlp(&collector.endpoint(), protocol) };
        let exporter = Exporter::start(&config).unwrap();
        assert!(!format!("{exporter:?}").contains("Bearer"), "{protocol}: no secret is shown");
        make(&exporter, 1);
        exporter.stop(LONG).await;
        assert_eq!(collector.header("authorization").as_deref(), Some("Bearer 100%41 =,"), "{protocol}");
    }
}

#[tokio::test]
async fn nothing_is_started_when_nobody_names_a_collector() {
    let exporter = Exporter::start(&Otlp::default()).unwrap();
    assert!(exporter.tracer().is_none() && exporter.stats().is_none() && exporter.target().is_none());
    traced(&exporter, || assert!(info_span!(target: REQUESTS, "request").is_disabled()));
    exporter.stop(LONG).await;
}

#[tokio::test]
async fn callsites_below_info_stay_switched_off() {
    let collector = Collector::start(Manner::Takes).await;
    let exporter = Exporter::start(&otlp(&collector.endpoint(), "http/protobuf")).unwrap();
    let highest = |exporter: &Exporter| {
        let subscriber = tracing_subscriber::registry().with(exporter.layer());
        let hint = tracing::Subscriber::max_level_hint(&subscriber);
        hint.expect("a level is known").into_level()
    };
    assert_eq!(highest(&exporter), Some(Level::INFO));
    assert_eq!(highest(&Exporter::default()), None);
}

#[tokio::test]
async fn what_a_collector_does_not_take_is_counted_as_failed() {
    for protocol in PROTOCOLS {
        let collector = Collector::start(Manner::Takes).await;
        collector.refuse(true);
        let exporter = Exporter::start(&otlp(&collector.endpoint(), protocol)).unwrap();
        make(&exporter, 10);
        exporter.stop(LONG).await;
        let stats = exporter.stats().unwrap();
        assert_eq!((stats.exported(), stats.failed(), stats.dropped()), (0, 10, 0), "{protocol}");
    }
}

/// The queue stays within its bounds, every span is accounted for, nobody waits, and the end comes in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_gone_hangs_or_is_slow_costs_spans_alone() {
    let requests = u64::from(40 * QUEUE_LEN_MAX);
    let good = Collector::start(Manner::Takes).await;
    let (slow, hanging) = (Manner::TakesLate(Duration::from_millis(500)), Manner::Hangs);
    let (slow, hanging) = (Collector::start(slow).await, Collector::start(hanging).await);
    for protocol in PROTOCOLS {
        let start = |endpoint: &str| Exporter::start(&otlp(endpoint, protocol)).unwrap();
        let unhindered = make(&start(&good.endpoint()), requests);
        for (how, endpoint) in
            [("gone", nowhere().await), ("slow", slow.endpoint()), ("hanging", hanging.endpoint())]
        {
            let exporter = start(&endpoint);
            let stats = exporter.stats().unwrap().clone();
            let hindered = make(&exporter, requests);
            assert!(
                hindered < 10 * unhindered + Duration::from_millis(200),
                "{protocol}, {how}: {hindered:?} instead of {unhindered:?}"
            );
            assert!(stats.waiting() <= QUEUE_LEN_MAX.into(), "{protocol}, {how}: {stats:?}");
            assert!(stats.dropped() > requests / 2, "{protocol}, {how}: {stats:?}");

            let stopping = Instant::now();
            exporter.stop(Duration::from_millis(300)).await;
            assert!(stopping.elapsed() < LONG / 2, "{protocol}, {how}: the end waits for the collector");
            let under_way = requests - stats.exported() - stats.failed() - stats.dropped();
            assert!(under_way <= 2 * u64::from(QUEUE_LEN_MAX), "{protocol}, {how}: {stats:?}");
        }
    }
}

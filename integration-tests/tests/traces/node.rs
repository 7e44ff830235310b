//! A whole node: which spans its requests make, and what it does when they cannot be sent.

use crate::collector::{Collector, Manner, PROTOCOLS, nowhere};
use crate::span::{Span, trees};
use crate::tls::Tls;
use hydra_integration_tests::node::{Home, Node};
use hydra_integration_tests::peer::Peer;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::time::Duration;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const KEY: &[u8] = b"\x12\x20thirty-two bytes for a digest ok";
/// Spans are sent soon after they have ended.
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "100");
const ALL: &str = "telemetry.traces.ratio=1.0";

/// A node that sends here as the config says, with these settings besides.
async fn node(home: &Home, endpoint: &str, protocol: &str, settings: &[&str]) -> Node {
    let endpoint = format!("telemetry.otlp.endpoint={endpoint}");
    let protocol = format!("telemetry.otlp.protocol={protocol}");
    let all = [&[endpoint.as_str(), protocol.as_str()], settings].concat();
    Node::start_with(home, &all, &[SOON]).await.unwrap()
}

/// The requests of this name that have a store call below them.
fn with_a_call<'s>(name: &str, spans: &'s [Span]) -> Vec<(&'s Span, &'s Span)> {
    let roots = spans.iter().filter(|span| span.is_root() && span.name == name);
    let call = |root: &'s Span| root.children(spans).into_iter().find(|span| span.kind == SpanKind::Client);
    roots.filter_map(|root| Some((root, call(root)?))).collect()
}

/// Threads that are there to send spans, by the first 15 bytes of their names.
fn threads_that_send(node: &Node) -> usize {
    let names = node.thread_names().unwrap();
    names.iter().filter(|name| ["otlp", "OpenTelemetry.T"].contains(&name.as_str())).count()
}

/// Whether a counter comes to so much, or more, sooner or later.
async fn comes_to(node: &Node, name: &str, label: (&str, &str), least: f64) -> bool {
    for _ in 0..600 {
        if node.metrics().await.unwrap().value(name, &[label]) >= Some(least) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn a_request_is_a_tree_with_verdict_rung_and_store_call() {
    for protocol in PROTOCOLS {
        let collector = Collector::start(Manner::Takes).await;
        let node = node(&Home::new().unwrap(), &collector.endpoint(), protocol, &[ALL]).await;
        let client = Peer::client(PROTOCOL);
        client.providers(node.heads()[1].tcp(), KEY).await.unwrap();
        let spans = collector.spans_until(|spans| !with_a_call("kad/GET_PROVIDERS", spans).is_empty()).await;
        let found = with_a_call("kad/GET_PROVIDERS", &spans);
        let [(request, call)] = found[..] else { panic!("{:#?}; {}", trees(&spans), node.home().log()) };
        assert_eq!(request.kind, SpanKind::Server);
        for (name, value) in [
            ("rpc.system.name", "libp2p_kad"),
            ("rpc.method", "kad/GET_PROVIDERS"),
            ("hydra.head", "1"),
            ("hydra.verdict", "admit"),
            ("hydra.rung", "full"),
            ("hydra.outcome", "served"),
            ("hydra.cache", "miss"),
            ("hydra.source", "store"),
        ] {
            assert_eq!(request.get(name), value, "{protocol}: {name} of {request:#?}");
        }
        assert_eq!((call.get("db.system.name"), call.get("db.operation.name")), ("fjall", "providers"));
        // The task of the call has a last step to take when the request has its answer.
        assert!(request.start <= call.start && call.start <= request.end, "{request:?} {call:?}");
        let below: Vec<_> = request.children(&spans).iter().map(|span| span.name.clone()).collect();
        assert!(below.iter().any(|name| name == "admission"), "{below:?}");

        // The cache answers the second time: no call.
        client.providers(node.heads()[1].tcp(), KEY).await.unwrap();
        let hit = |span: &Span| span.get("hydra.cache") == "hit";
        let spans = collector.spans_until(|spans| spans.iter().any(hit)).await;
        let hit = spans.iter().find(|span| hit(span)).unwrap();
        assert!(hit.children(&spans).iter().all(|span| span.kind != SpanKind::Client), "{:?}", trees(&spans));
        assert!(node.stop().await.unwrap().success());
    }
}

#[tokio::test]
async fn a_slow_request_is_told_afterwards_though_chance_did_not_take_it() {
    let collector = Collector::start(Manner::Takes).await;
    let settings =
        ["telemetry.traces.ratio=0.0", "telemetry.traces.slow_ms=20", "store.kind=slow", "store.delay_ms=60"];
    let node = node(&Home::new().unwrap(), &collector.endpoint(), "grpc", &settings).await;
    let client = Peer::client(PROTOCOL);
    client.providers(node.heads()[0].tcp(), KEY).await.unwrap();
    let spans = collector.spans_until(|spans| !with_a_call("kad/GET_PROVIDERS", spans).is_empty()).await;
    let found = with_a_call("kad/GET_PROVIDERS", &spans);
    let [(request, call)] = found[..] else { panic!("{:?}; {}", trees(&spans), node.home().log()) };
    assert!(request.end - request.start >= 20_000_000, "{request:?}");
    assert_eq!((request.get("hydra.outcome"), request.get("hydra.verdict")), ("served", "admit"));
    assert_eq!(call.get("db.system.name"), "slow");
    // What the collector has taken is counted when it has said so.
    assert!(comes_to(&node, "hydra_spans_total", ("outcome", "exported"), 2.0).await);
    let metrics = node.metrics().await.unwrap();
    let told = |name, label, value| metrics.value(name, &[(label, value)]);
    assert_eq!(told("hydra_traces_total", "decision", "kept"), Some(1.0));
    assert_eq!(told("hydra_traces_total", "decision", "sampled"), Some(0.0));
    assert_eq!(told("hydra_spans_total", "outcome", "failed"), Some(0.0));
}

#[tokio::test]
async fn what_waits_is_sent_when_the_node_stops() {
    let collector = Collector::start(Manner::Takes).await;
    let endpoint = format!("telemetry.otlp.endpoint={}", collector.endpoint());
    let never = [("OTEL_BSP_SCHEDULE_DELAY", "3600000")];
    let node = Node::start_with(&Home::new().unwrap(), &[&endpoint, ALL], &never).await.unwrap();
    Peer::client(PROTOCOL).providers(node.heads()[0].tcp(), KEY).await.unwrap();
    assert!(node.stop().await.unwrap().success());
    let spans = collector.spans();
    assert_eq!(with_a_call("kad/GET_PROVIDERS", &spans).len(), 1, "{:?}", trees(&spans));
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_a_collector_that_hangs() {
    let collector = Collector::start(Manner::Hangs).await;
    let home = Home::new().unwrap();
    let node = node(&home, &collector.endpoint(), "grpc", &[ALL, "telemetry.otlp.timeout_ms=60000"]).await;
    Peer::client(PROTOCOL).providers(node.heads()[0].tcp(), KEY).await.unwrap();
    node.terminate().await.unwrap();
    while !home.log().contains("writing the queued records") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(1200)).await;
    node.terminate().await.unwrap();
    assert_eq!(node.ended().await.unwrap().code(), Some(1));
    assert!(home.log().contains("ended at once by a second signal"), "{}", home.log());
}

#[tokio::test]
async fn the_standard_variables_do_without_any_config() {
    let collector = Collector::start(Manner::Takes).await;
    let endpoint = collector.endpoint();
    let variables = [
        SOON,
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-from=a%20variable"),
        ("OTEL_SERVICE_NAME", "my hydra"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=not this,deployment.environment.name=test"),
    ];
    let home = Home::new().unwrap();
    let node = Node::start_with(&home, &[ALL], &variables).await.unwrap();
    Peer::client(PROTOCOL).find_node(node.heads()[0].tcp(), KEY).await.unwrap();
    let spans = collector.spans_until(|spans| spans.iter().any(|span| span.name == "kad/FIND_NODE")).await;
    let span = spans.iter().find(|span| span.name == "kad/FIND_NODE").unwrap();
    assert_eq!(span.resource["service.name"], "my hydra");
    assert_eq!(span.resource["deployment.environment.name"], "test");
    assert_eq!(collector.header("x-from").as_deref(), Some("a variable"));
    assert!(home.log().contains(&format!("{endpoint} by grpc")), "{}", home.log());
    assert!(threads_that_send(&node) > 0);
    assert!(node.stop().await.unwrap().success());

    let disabled = [&variables[..], &[("OTEL_SDK_DISABLED", "true")]].concat();
    let node = Node::start_with(&Home::new().unwrap(), &[ALL], &disabled).await.unwrap();
    assert_eq!(threads_that_send(&node), 0, "no thread for spans that are not sent");
}

#[tokio::test]
async fn a_header_of_the_config_goes_over_that_of_a_variable() {
    for protocol in PROTOCOLS {
        let collector = Collector::start(Manner::Takes).await;
        let (endpoint, protocol) = (
            format!("telemetry.otlp.endpoint={}", collector.endpoint()),
            format!("telemetry.otlp.protocol={protocol}"),
        );
        let settings = [&endpoint, &protocol, ALL, "telemetry.otlp.headers.x-one={ env = 'TEST_HEADER' }"];
        let variables = [
            SOON,
            ("TEST_HEADER", "config"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-one=variable,x-two=variable"),
        ];
        let node = Node::start_with(&Home::new().unwrap(), &settings, &variables).await.unwrap();
        Peer::client(PROTOCOL).find_node(node.heads()[0].tcp(), KEY).await.unwrap();
        collector.spans_until(|spans| !spans.is_empty()).await;
        assert_eq!(collector.header("x-one").as_deref(), Some("config"), "{protocol}");
        assert_eq!(collector.header("x-two").as_deref(), Some("variable"), "{protocol}");
    }
}

#[tokio::test]
async fn spans_are_sent_over_tls_to_a_collector_that_the_machine_trusts() {
    for protocol in PROTOCOLS {
        let (listener, certificate) = Tls::start().await;
        let collector = Collector::on(listener, Manner::Takes);
        let home = Home::new().unwrap();
        let file = home.path().join("certificate.pem");
        std::fs::write(&file, certificate).unwrap();
        let endpoint = format!("telemetry.otlp.endpoint=https://localhost:{}", collector.address.port());
        let protocol = format!("telemetry.otlp.protocol={protocol}");
        let variables = [SOON, ("SSL_CERT_FILE", file.to_str().unwrap())];
        let node = Node::start_with(&home, &[&endpoint, &protocol, ALL], &variables).await.unwrap();
        Peer::client(PROTOCOL).find_node(node.heads()[0].tcp(), KEY).await.unwrap();
        let spans = collector.spans_until(|spans| !spans.is_empty()).await;
        assert!(!spans.is_empty(), "{protocol}: {}", home.log());
        drop(node);

        let node = Node::start_with(&home, &[&endpoint, &protocol, ALL], &[SOON]).await;
        // A machine without any roots refuses at the start, one with others when it sends.
        if let Ok(node) = node {
            let before = collector.spans().len();
            Peer::client(PROTOCOL).find_node(node.heads()[0].tcp(), KEY).await.unwrap();
            assert!(node.stop().await.unwrap().success(), "{protocol}: {}", home.log());
            assert_eq!(collector.spans().len(), before, "{protocol}: nobody vouches for this certificate");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_who_said_it() {
    let home = Home::new().unwrap();
    let at = "telemetry.otlp.endpoint=http://localhost:4317";
    let missing = "telemetry.otlp.headers.authorization={ file = '/nowhere/token' }";
    let traces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    type Case<'c> = (&'c [&'c str], &'c [(&'c str, &'c str)], &'c str, &'c str);
    let cases: [Case<'_>; 5] = [
        (
            &["telemetry.otlp.endpoint=localhost:4317"],
            &[],
            "--set telemetry.otlp.endpoint: ",
            "http://localhost:4317",
        ),
        (
            &[],
            &[(traces, "ftp://hunter2")],
            "environment variable OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: ",
            "`http://`",
        ),
        (
            &[at],
            &[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")],
            "environment variable OTEL_EXPORTER_OTLP_PROTOCOL: ",
            "`http/protobuf`",
        ),
        (
            &[at],
            &[("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")],
            "environment variable OTEL_EXPORTER_OTLP_TIMEOUT: ",
            "from 100 to 60000",
        ),
        (
            &[at, missing],
            &[],
            "--set telemetry.otlp.headers.authorization: telemetry.otlp.headers.authorization: ",
            "/nowhere/token",
        ),
    ];
    for (settings, variables, blamed, told) in cases {
        let (status, log) = Node::refused_with(&home, settings, variables).await.unwrap();
        assert_eq!(status.code(), Some(2), "{log}");
        assert!(log.starts_with(&format!("error: {blamed}")) && log.contains(told), "{log}");
        assert!(!log.contains("hunter2"), "{log}");
    }
}

#[tokio::test]
async fn that_nothing_can_be_sent_is_told_once_however_often_it_fails() {
    let home = Home::new().unwrap();
    let node = node(&home, &nowhere().await, "grpc", &[ALL]).await;
    let client = Peer::client(PROTOCOL);
    for _ in 0..20 {
        client.find_node(node.heads()[0].tcp(), KEY).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(comes_to(&node, "hydra_spans_total", ("outcome", "failed"), 1.0).await);
    assert!(node.stop().await.unwrap().success(), "{}", home.log());
    let mut lines: Vec<_> =
        home.log().lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect();
    // Whether the last ones are tried in time is a matter of chance.
    lines.retain(|line| !line.contains("spans could not be sent before the end"));
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("traces cannot be sent"), "{lines:#?}");
    assert_eq!(lines[0].matches("\"target\":").count(), 1, "no key stands twice: {lines:#?}");
}

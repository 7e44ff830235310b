//! What a scraper sees of a running node, and that everything that is made for scrapers goes by what it sees.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

mod backends;
mod promql;

use hydra_integration_tests::exposition::{Exposition, Format, Labels};
use hydra_integration_tests::foreign;
use hydra_integration_tests::http;
use hydra_integration_tests::network::{enter, servers};
use hydra_integration_tests::node::Node;
use hydra_integration_tests::peer::Peer;
use hydra_integration_tests::raw::{RawPeer, framed};
use hydra_kad::Request;
use libp2p::{Multiaddr, PeerId};
use libtest_mimic::{Arguments, Trial};
use promql::{Matcher, Selector};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const MEMORY: &str = "store.kind=\"memory\"";
/// Labels that Prometheus adds by itself.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];
/// Families of figures of one server or database: those of two tiers say nothing together.
const OF_ONE_SERVER: [&str; 3] = ["db_table", "db_memory", "db_servers"];
/// Made by Prometheus itself.
const UP: &str = "up";

fn main() -> ExitCode {
    let is_absent = !backends::are_installed() && !foreign::required();
    let over_servers = |name: &str, test: Test| trial(name, test).with_ignored_flag(is_absent);
    let trials = vec![
        trial("counters_move_as_the_requests_were_made", || {
            Box::pin(counters_move_as_the_requests_were_made())
        }),
        trial("both_formats_are_what_they_claim_and_tell_the_same", || Box::pin(both_formats())),
        trial("no_label_names_a_peer_a_key_or_an_address", || {
            Box::pin(no_label_names_a_peer_a_key_or_an_address())
        }),
        over_servers("a_node_publishes_the_figures_of_its_store", || Box::pin(backends::each())),
        over_servers("the_dashboard_and_the_alerts_name_what_a_node_tells", || {
            Box::pin(the_dashboard_and_the_alerts_name_what_a_node_tells())
        }),
        // With `UPDATE_DOCS=1` in the environment the table is written anew.
        over_servers("the_table_of_metrics_is_what_a_node_tells", || {
            Box::pin(the_table_of_metrics_is_what_a_node_tells())
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

type Test = fn() -> Pin<Box<dyn Future<Output = ()>>>;

fn trial(name: &str, test: Test) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(test());
        Ok(())
    })
}

/// The key of this number: a multihash as far as anybody can tell.
fn key(number: u64) -> Vec<u8> {
    let mut key = vec![0x12, 0x20];
    key.extend(number.to_be_bytes().repeat(4));
    key
}

/// A file of the project.
fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Scrapes until it is as wanted, or for a minute.
async fn metrics_until(node: &Node, wanted: impl Fn(&Exposition) -> bool) -> Exposition {
    for _ in 0..600 {
        let told = node.metrics().await.unwrap();
        if wanted(&told) {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    node.metrics().await.unwrap()
}

/// What is told once the node has done everything by itself that it does at its start.
async fn settled(node: &Node) -> Exposition {
    metrics_until(node, |told| told.samples().any(|(name, _, _)| name == "hydra_records")).await
}

async fn counters_move_as_the_requests_were_made() {
    let node = Node::start(&[MEMORY, "engine.flush_interval_ms=100"]).await.unwrap();
    let head = node.heads()[0].tcp();
    let before = settled(&node).await;
    let peer = Peer::listening(PROTOCOL).await;
    for number in 0..5 {
        peer.provide(head, &key(number), &peer.addresses).await.unwrap();
    }
    let written = metrics_until(&node, |told| told.sum("hydra_records_written_total", &[]) >= 5.0).await;
    assert_eq!(written.sum("hydra_records_written_total", &[]), 5.0);
    for number in [0, 0, 1, 100, 100] {
        peer.providers(head, &key(number)).await.unwrap();
    }
    for number in 0..4 {
        peer.find_node(head, &key(number)).await.unwrap();
    }
    bare_requests(head).await;
    let after = metrics_until(&node, |told| told.sum("hydra_wire_resets_total", &[]) >= 2.0).await;
    let moved = |name: &str, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);
    for (labels, count) in [
        (&[("operation", "ADD_PROVIDER"), ("outcome", "served"), ("rung", "full")][..], 5.0),
        (&[("operation", "ADD_PROVIDER")], 5.0),
        (&[("operation", "GET_PROVIDERS"), ("outcome", "served"), ("rung", "full")], 5.0),
        (&[("operation", "GET_PROVIDERS"), ("outcome", "refused")], 1.0),
        (&[("operation", "FIND_NODE"), ("outcome", "served")], 4.0),
        (&[("operation", "PING"), ("outcome", "served")], 1.0),
        (&[("operation", "GET_VALUE"), ("outcome", "served")], 1.0),
        (&[], 17.0),
    ] {
        assert_eq!(moved("hydra_requests_total", labels), count, "{labels:?}");
    }
    let timed = [("operation", "GET_PROVIDERS"), ("outcome", "served")];
    assert_eq!(moved("hydra_request_duration_seconds_count", &timed), 5.0);
    assert!(moved("hydra_request_duration_seconds_sum", &timed) > 0.0);
    for (name, labels, count) in [
        // Keys 1 and 100 were read once; what was written was known of none of them.
        ("hydra_cache_hits_total", &[("kind", "present")][..], 1.0),
        ("hydra_cache_hits_total", &[("kind", "absent")], 1.0),
        ("hydra_cache_misses_total", &[], 3.0),
        ("hydra_store_call_duration_seconds_count", &[("store", "memory"), ("operation", "providers")], 3.0),
        ("hydra_store_calls_failed_total", &[], 0.0),
        ("hydra_records_dropped_total", &[], 0.0),
        ("hydra_wire_resets_total", &[("cause", "malformed")], 1.0),
        ("hydra_wire_resets_total", &[("cause", "refused")], 1.0),
        ("hydra_admission_verdicts_total", &[("policy", "token-bucket"), ("verdict", "decline")], 0.0),
        // Policies are asked of reads and writes of providers alone, and not when the key is malformed.
        ("hydra_admission_verdicts_total", &[("policy", "token-bucket"), ("verdict", "admit")], 10.0),
        ("hydra_rung_entered_total", &[], 0.0),
    ] {
        assert_eq!(moved(name, labels), count, "{name} {labels:?}");
    }
    assert_eq!(after.value("hydra_rung", &[("rung", "full")]), Some(1.0));
    assert_eq!(after.sum("hydra_rung", &[]), 1.0, "one rung alone");
    assert_eq!(after.value("hydra_heads", &[("state", "listening")]), Some(3.0));
    assert_eq!(after.value("hydra_table_peers", &[("origin", "own")]), Some(3.0));
    assert!(after.value("hydra_unique_peers", &[("window", "1h")]).unwrap() >= 1.0);
    assert!(after.value("hydra_connections", &[]).unwrap() >= 1.0);
    assert!(after.value("process_resident_memory_bytes", &[]).unwrap() > 1e6);
    let open = after.value("process_open_fds", &[]).unwrap();
    assert!(open > 3.0 && open < after.value("process_max_fds", &[]).unwrap());
}

/// One request of each kind that a [`Peer`] does not make, and one that is none.
async fn bare_requests(head: &Multiaddr) {
    let peer = RawPeer::new(PROTOCOL);
    let mut stream = peer.stream(head).await.unwrap();
    stream.ask(&Request::Ping { key: Default::default() }).await.unwrap();
    stream.ask(&Request::GetValue { key: key(1).into() }).await.unwrap();
    stream.send(&Request::GetProviders { key: vec![7; 81].into() }).await.unwrap();
    assert!(stream.is_reset().await.unwrap(), "the key is too long");
    let mut stream = peer.stream(head).await.unwrap();
    stream.write(&framed(&[0xff; 5])).await.unwrap();
    assert!(stream.is_reset().await.unwrap(), "that is no message");
}

async fn both_formats() {
    let node = Node::start(&[MEMORY]).await.unwrap();
    Peer::client(PROTOCOL).providers(node.heads()[0].tcp(), &key(1)).await.unwrap();
    settled(&node).await;
    formats_agree(&node).await;
}

/// Both formats are what they claim, and tell the same.
async fn formats_agree(node: &Node) {
    let address = node.http().unwrap();
    let text = http::get(address, "/metrics", &["Accept: text/plain"]).await.unwrap();
    let wanted =
        "Accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let open = http::get(address, "/metrics", &[wanted]).await.unwrap();
    assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let text = Exposition::parse(&text.body, Format::Text).unwrap();
    let open = Exposition::parse(&open.body, Format::OpenMetrics).unwrap();
    let series = |told: &Exposition| -> Vec<_> {
        told.samples().map(|(name, labels, _)| (name.clone(), labels.clone())).collect()
    };
    assert_eq!(series(&text), series(&open), "the same series in the same order");
    let said = |told: &Exposition| told.families.iter().map(|family| family.help.clone()).collect::<Vec<_>>();
    assert_eq!(said(&text), said(&open));
    for family in &open.families {
        let unit = ["seconds", "bytes"].into_iter().find(|unit| family.name.ends_with(&format!("_{unit}")));
        assert_eq!(family.unit.as_deref(), unit, "{}", family.name);
        let is_known = ["hydra_", "process_", "db_"].iter().any(|prefix| family.name.starts_with(prefix));
        assert!(is_known, "{}", family.name);
    }
    let of_store = |name: &&String| name.starts_with("db_");
    let of_store = text.samples().map(|(name, _, _)| name).filter(of_store).count();
    assert!(text.samples().count() - of_store < 2_000 && of_store < 1_000);
}

async fn no_label_names_a_peer_a_key_or_an_address() {
    let node = Node::start(&[MEMORY, "heads.count=2"]).await.unwrap();
    let peers = servers(3).await;
    enter(&node, &peers).await;
    for peer in &peers {
        for number in 0..50 {
            peer.provide(node.heads()[0].tcp(), &key(number), &peer.addresses).await.unwrap();
            peer.providers(node.heads()[1].tcp(), &key(number)).await.unwrap();
        }
    }
    settled(&node).await;
    let page = node.page("/metrics").await.unwrap().body;
    for peer in peers.iter().map(|peer| peer.id).chain(node.heads().iter().map(|head| head.peer)) {
        assert!(!page.contains(&peer.to_string()), "{peer} is named");
    }
    assert!(!page.contains("127.0.0.1") && !page.contains(node.home().path().to_str().unwrap()));
    labels_are_words(&Exposition::parse(&page, Format::Text).unwrap());
}

fn labels_are_words(told: &Exposition) {
    for (name, labels, _) in told.samples() {
        for (label, value) in labels {
            let of_words = value.len() <= 32
                && value.chars().all(|char| char.is_ascii_alphanumeric() || "_-.+".contains(char));
            // A small number is an id in form as well; that of a key has no fewer than 34 bytes.
            let names_a_peer = value.parse::<PeerId>().is_ok_and(|peer| peer.to_bytes().len() >= 34);
            let tells = names_a_peer || value.parse::<IpAddr>().is_ok();
            assert!(of_words && !tells, "{name}: {label} is {value}");
        }
    }
}

async fn the_dashboard_and_the_alerts_name_what_a_node_tells() {
    let admission = "admission=[{kind=\"token-bucket\"}, {kind=\"queue-depth\", mode=\"shadow\"}]";
    let tiers = backends::Tiers::start(&[admission]).await;
    let told = tiers.settled().await;
    let dashboard = expressions_of_dashboard();
    let alerts = expressions_of_alerts();
    assert!(dashboard.len() > 60 && alerts.len() > 10, "{} and {}", dashboard.len(), alerts.len());
    let mut named = BTreeSet::new();
    for expression in dashboard.iter().chain(&alerts) {
        let selectors = promql::selectors(expression);
        assert!(!selectors.is_empty(), "nothing is asked for: {expression}");
        let mut grouping: BTreeSet<_> = promql::grouping_labels(expression).into_iter().collect();
        let is_of_one_server =
            |selector: &Selector| OF_ONE_SERVER.iter().any(|family| selector.name.starts_with(family));
        assert!(
            grouping.contains("tier") || !selectors.iter().any(is_of_one_server),
            "the servers of several tiers are mixed: {expression}"
        );
        for label in TARGET_LABELS {
            grouping.remove(label);
        }
        for selector in selectors.iter().filter(|selector| selector.name != UP) {
            let fitting = fitting(&told, selector);
            assert!(
                !fitting.is_empty(),
                "{} {:?} is not told: {expression}",
                selector.name,
                selector.matchers
            );
            for (matcher, value) in selector
                .matchers
                .iter()
                .filter(|matcher| !is_of_target(&matcher.label))
                .flat_map(Matcher::named)
            {
                let tells = |labels: &&Labels| labels.get(&matcher.label).is_some_and(|told| told == value);
                assert!(fitting.iter().any(tells), "no {} is {value}: {expression}", matcher.label);
            }
            for labels in fitting {
                grouping.retain(|label| !labels.contains_key(label));
            }
            named.insert(selector.name.clone());
        }
        assert!(grouping.is_empty(), "no series has the labels {grouping:?}: {expression}");
    }
    let families = told.families.iter().map(|family| &family.name);
    let unseen: Vec<_> =
        families.filter(|family| !named.iter().any(|name| name.starts_with(family.as_str()))).collect();
    assert_eq!(unseen, [""; 0], "the dashboard shows everything");
}

fn is_of_target(label: &str) -> bool {
    TARGET_LABELS.contains(&label)
}

/// The labels of the series that a selector finds.
fn fitting<'a>(told: &'a Exposition, selector: &Selector) -> Vec<&'a Labels> {
    let of_name = told.samples().filter(|(name, _, _)| *name == selector.name);
    let fits = |labels: &Labels| {
        let matchers = selector.matchers.iter().filter(|matcher| !is_of_target(&matcher.label));
        matchers
            .into_iter()
            .all(|matcher| labels.get(&matcher.label).is_some_and(|value| matcher.fits(value)))
    };
    of_name.map(|(_, labels, _)| labels).filter(|labels| fits(labels)).collect()
}

fn expressions_of_dashboard() -> Vec<String> {
    let text = std::fs::read_to_string(project("config/grafana-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    let panels = dashboard["panels"].as_array().unwrap();
    let rows: Vec<_> = panels.iter().filter(|panel| panel["type"] == "row").collect();
    assert!(rows.len() >= 6, "{rows:?}");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = &panel["title"];
        assert!(
            panel["description"].as_str().is_some_and(|text| !text.is_empty()),
            "{title} is not described"
        );
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
    }
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "every panel has an id of its own");
    found
}

/// Every `expr`, and every query of a variable.
fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "expr" || name == "definition" => found.push(text.clone()),
                    _ => collect(field, found),
                }
            }
        }
        _ => {}
    }
}

/// The alerts' expressions, each of which stands on one line in single quotes.
fn expressions_of_alerts() -> Vec<String> {
    let text = std::fs::read_to_string(project("config/prometheus-alerts.yml")).unwrap();
    let (_, alerts) = text.split_once("    rules:\n").unwrap();
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for alert in alerts.split("      - alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        assert!(name.starts_with("Hydra") && names.insert(name), "{name}");
        let quoted = |field: &str| -> String {
            let mut lines = alert.lines().filter_map(|line| line.trim_start().strip_prefix(field));
            let (line, more) = (lines.next(), lines.next());
            let value = line.unwrap_or_else(|| panic!("{name} has no {field}"));
            assert_eq!(more, None, "{name}: {field} twice");
            let value = value.strip_prefix(" '").and_then(|value| value.strip_suffix('\''));
            value.unwrap_or_else(|| panic!("{name}: {field} is not in single quotes")).to_owned()
        };
        for field in ["summary:", "description:", "what_to_do:"] {
            let text = quoted(field);
            assert!(text.len() > 20 && text.ends_with(['.', '?']) && !text.contains('\''), "{name}: {text}");
        }
        assert!(
            ["warning", "critical"].iter().any(|word| alert.contains(&format!("severity: {word}\n"))),
            "{name}"
        );
        found.push(quoted("expr:"));
    }
    found
}

async fn the_table_of_metrics_is_what_a_node_tells() {
    const BEGIN: &str = "<!-- metrics -->\n";
    const END: &str = "<!-- /metrics -->\n";
    let tiers = backends::Tiers::start(&[]).await;
    let told = tiers.settled().await;
    let mut table = String::from("| name | type | labels | meaning |\n|---|---|---|---|\n");
    for family in &told.families {
        let of_all = family.samples.iter().flat_map(|(_, labels, _)| labels.keys());
        let labels: BTreeSet<_> =
            of_all.filter(|label| *label != "le").map(|label| format!("`{label}`")).collect();
        let labels = labels.into_iter().collect::<Vec<_>>().join(" ");
        writeln!(table, "| `{}` | {} | {labels} | {} |", family.name, family.kind, family.help).unwrap();
    }
    let path = project("docs/OPERATING.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, [before, BEGIN, &table, END, after].concat()).unwrap();
        return;
    }
    assert!(written == table, "docs/OPERATING.md is old: run this test with UPDATE_DOCS=1");
}

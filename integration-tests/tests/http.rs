//! The operator pages of a running node: where they are, what the probes say, and that no client of theirs harms.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

use hydra_integration_tests::http::{self, Page};
use hydra_integration_tests::node::{Home, Node};
use hydra_integration_tests::peer::Peer;
use hydra_integration_tests::raw::RawPeer;
use serde_json::Value;
use std::net::TcpListener;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const MEMORY: &str = "store.kind=\"memory\"";
const PAGES: [&str; 4] = ["/metrics", "/livez", "/readyz", "/version"];
/// More than are served at a time.
const HANGING: usize = 40;

#[tokio::test]
async fn the_state_of_the_node_and_of_its_heads_is_told_as_json() {
    let node = Node::start(&["heads.count=2"]).await.unwrap();
    let client = hydra_integration_tests::peer::Peer::client("/ipfs/kad/1.0.0");
    let head = &node.heads()[1];
    for _ in 0..3 {
        client.find_node(head.tcp(), b"anything").await.unwrap();
    }
    let json = async |path: &str| -> serde_json::Value {
        let page = node.page(path).await.unwrap();
        assert_eq!((page.status, page.header("content-type")), (200, Some("application/json")), "{path}");
        serde_json::from_str(&page.body).unwrap()
    };
    let heads = json("/api/v1/heads").await;
    let heads = heads["heads"].as_array().unwrap();
    assert_eq!(heads.len(), 2);
    let told = &heads[1];
    assert_eq!((&told["slot"], &told["state"]), (&1.into(), &"listening".into()));
    assert_eq!(told["peer"], head.peer.to_string());
    assert_eq!((&told["connections"], &told["requests"]), (&1.into(), &3.into()), "{told}");
    assert!(told["requests_per_second"].is_f64());
    for addresses in ["listen", "advertised"] {
        let first = told[addresses][0].as_str().unwrap();
        assert!(head.addresses.iter().any(|own| own.to_string().starts_with(first)), "{addresses}: {told}");
    }
    let status = json("/api/v1/status").await;
    assert_eq!(status["phase"], "serving");
    assert_eq!(status["heads"]["states"]["listening"], 2);
    for lane in ["reads", "writes"] {
        assert_eq!(
            (&status[lane]["rung"], &status[lane]["because"]),
            (&"full".into(), &"".into()),
            "{status}"
        );
    }
    assert_eq!((&status["store"]["kind"], &status["store"]["state"]), (&"fjall".into(), &"ok".into()));
    assert_eq!(status["table"]["own"], 2);

    let program = hydra_integration_tests::node::program().unwrap();
    let run = |args: &[&str]| {
        std::process::Command::new(&program).current_dir(node.home().path()).args(args).output().unwrap()
    };
    let output = run(&["status", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["heads"][1]["peer"], head.peer.to_string());
    assert_eq!(shown["status"]["table"]["own"], 2);
    let none = run(&["status", "--data-dir", "elsewhere"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("no node runs on elsewhere"));
    assert!(node.stop().await.unwrap().success());
}

#[tokio::test]
async fn every_page_answers_get_and_head_and_nothing_else() {
    let node = Node::start(&[MEMORY]).await.unwrap();
    let address = node.http().unwrap();
    assert!(address.ip().is_loopback() && address.port() != 0);
    let index = node.page("/").await.unwrap();
    assert_eq!(index.status, 200);
    let elsewhere = node.page("/favicon.ico").await.unwrap();
    assert_eq!(elsewhere.status, 404);
    for page in PAGES {
        assert!(index.body.contains(page) && elsewhere.body.contains(page), "{page} is listed");
        let got = node.page(page).await.unwrap();
        assert_eq!(got.status, 200, "{page}: {}", got.body);
        let head = http::ask(address, "HEAD", page, &[]).await.unwrap();
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{page}");
        assert_eq!(head.header("content-type"), got.header("content-type"), "{page}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            assert_eq!(http::ask(address, method, page, &[]).await.unwrap().status, 405, "{method} {page}");
        }
    }
    let version: Value = serde_json::from_str(&node.page("/version").await.unwrap().body).unwrap();
    assert_eq!((&version["store"], &version["ids"]), (&Value::from("memory"), &Value::from("balanced")));
    assert_eq!(version["admission"], serde_json::json!(["token-bucket", "queue-depth"]));
    assert!(version["version"].as_str().unwrap().starts_with("0."), "{version}");
}

#[tokio::test]
async fn a_node_that_serves_is_live_and_ready_and_tells_each_check() {
    let node = Node::start(&[MEMORY]).await.unwrap();
    for (page, checks) in [
        ("livez", &["runtime", "background", "store", "leases", "tasks"][..]),
        ("readyz", &["node", "leases", "heads", "reachability", "memory", "store", "table"]),
    ] {
        let alone = "table: no other server is in the peer table\n";
        let note = if page == "readyz" { alone } else { "" };
        assert_eq!(node.page(&format!("/{page}")).await.unwrap().body, format!("ok\n{note}"));
        let line = |check: &&str| match *check {
            "table" => format!("[+]table ok\n[!]{alone}"),
            check => format!("[+]{check} ok\n"),
        };
        let lines: String = checks.iter().map(line).collect();
        let told = node.page(&format!("/{page}?verbose")).await.unwrap();
        assert_eq!((told.status, told.body), (200, format!("{lines}{page} check passed\n")));
        assert_eq!(
            told.headers.iter().filter(|(name, _)| name == "cache-control").count(),
            1,
            "it is not kept"
        );
    }
}

#[tokio::test]
async fn a_stalled_store_is_not_ready_and_lives_and_is_ready_again_once_it_moves() {
    let home = Home::new().unwrap();
    let frozen = home.path().join("frozen");
    let store = format!("store.while_exists=\"{}\"", frozen.display());
    let settings = ["store.kind=\"freezing\"", &store, "engine.permits_max=1", "engine.cache.mib_max=0"];
    let node = Node::start_in(&home, &settings).await.unwrap();
    std::fs::write(&frozen, "").unwrap();
    let (client, head) = (Peer::client(PROTOCOL), node.heads()[0].tcp());
    // The read that takes the one permit and keeps it.
    client.providers(head, b"\x12\x20thirty-two bytes for a digest ok").await.unwrap();
    let told = page_until(&node, "/readyz", |page| page.status == 503).await;
    assert!(told.body.starts_with("store: no call has ended for "), "{}", told.body);
    let told = node.page("/readyz?verbose").await.unwrap().body;
    let passed: String = ["node", "leases", "heads", "reachability", "memory"]
        .map(|check| format!("[+]{check} ok\n"))
        .concat();
    assert!(told.starts_with(&format!("{passed}[-]store failed: no call has ended for ")), "{told}");
    assert!(told.ends_with("\nreadyz check failed\n"), "{told}");
    let told = page_until(&node, "/readyz?verbose", |page| page.body.contains("[!]reads: ")).await.body;
    assert!(
        told.contains("[!]reads: on the rung cache_only (the store has stalled): no key is read"),
        "{told}"
    );
    assert_eq!(node.page("/livez").await.unwrap().status, 200, "a new start would not make the store answer");
    std::fs::remove_file(&frozen).unwrap();
    let ready = page_until(&node, "/readyz", |page| page.status == 200).await.body;
    assert!(ready.starts_with("ok\n") && !ready.contains("store: "), "{ready}");
}

#[tokio::test]
async fn a_node_that_drains_is_not_ready_at_once_and_lives() {
    let home = Home::new().unwrap();
    let node = Node::start_in(&home, &[MEMORY, "shutdown.drain_ms=60000", "shutdown.deadline_ms=60000"])
        .await
        .unwrap();
    // The drain lasts as long as a stream is open.
    let peer = RawPeer::new(PROTOCOL);
    let stream = peer.stream(node.heads()[0].tcp()).await.unwrap();
    while node.metrics().await.unwrap().value("hydra_wire_streams", &[]) != Some(1.0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.terminate().await.unwrap();
    let told = page_until(&node, "/readyz", |page| page.status == 503).await;
    assert!(told.body.starts_with("node: stopping\n"), "{}", told.body);
    assert_eq!(node.page("/livez").await.unwrap().status, 200);
    assert_eq!(node.page("/metrics").await.unwrap().status, 200);
    drop((stream, peer));
    assert!(node.ended().await.unwrap().success(), "{}", home.log());
}

#[tokio::test]
async fn a_taken_port_is_told_by_the_key_that_names_it() {
    let home = Home::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let setting = format!("telemetry.http.listen=\"{}\"", taken.local_addr().unwrap());
    let (status, log) = Node::refused(&home, &[MEMORY, &setting]).await.unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    let expected = format!("telemetry.http.listen: cannot listen on {}", taken.local_addr().unwrap());
    assert!(log.contains(&expected), "{log}");
}

#[tokio::test]
async fn pages_that_are_switched_off_are_not_there() {
    let node = Node::start(&[MEMORY, "telemetry.http.enabled=false"]).await.unwrap();
    assert_eq!(node.http(), None);
    assert!(node.stop().await.unwrap().success());
}

#[tokio::test]
async fn clients_that_hang_are_cut_off_and_delay_no_stop() {
    let home = Home::new().unwrap();
    // Shorter than such a client is borne.
    let node =
        Node::start_in(&home, &[MEMORY, "shutdown.deadline_ms=4000", "shutdown.drain_ms=100"]).await.unwrap();
    let address = node.http().unwrap();
    let before = node.descriptors().unwrap();
    for round in 0..2 {
        let mut hanging = Vec::new();
        for number in 0..HANGING {
            let mut stream = TcpStream::connect(address).await.unwrap();
            if number % 2 == 0 {
                stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ").await.unwrap();
            }
            hanging.push(stream);
        }
        // It takes the place of one of the others.
        assert_eq!(node.page("/livez").await.unwrap().status, 200, "round {round}");
        // They hold on; it is the node that lets go of them.
        let mut held = node.descriptors().unwrap();
        for _ in 0..600 {
            if held <= before + 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            held = node.descriptors().unwrap();
        }
        assert!(held <= before + 2, "round {round}: {before} descriptors before, {held} after it");
        drop(hanging);
    }
    let mut hanging = Vec::new();
    for _ in 0..HANGING {
        hanging.push(TcpStream::connect(address).await.unwrap());
    }
    assert_eq!(node.stop().await.unwrap().code(), Some(0), "{}", home.log());
}

/// Asks for a page until it is as wanted.
async fn page_until(node: &Node, path: &str, wanted: impl Fn(&Page) -> bool) -> Page {
    for _ in 0..3_000 {
        let page = node.page(path).await.unwrap();
        if wanted(&page) {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{path} did not become as it should; the log:\n{}", node.home().log());
}

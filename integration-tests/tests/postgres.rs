//! Nodes over a real PostgreSQL: started before it and after it, side by side, and with the config file that comes with hydra.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use hydra_conformance::servers::{self, Postgres};
use hydra_integration_tests::names::the_best_record_stays;
use hydra_integration_tests::node::{Home, Node};
use hydra_integration_tests::peer::Peer;
use libtest_mimic::{Arguments, Trial};
use std::future::Future;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const KEY: &[u8] = b"\x12\x20a key of thirty-two bytes in all";
/// How long the node may take to serve from a store that has appeared.
const BACK_WITHIN: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let is_required = servers::required();
    let ignored = Postgres::installed().is_none() && !is_required;
    let trials = [
        trial("a_node_without_its_store_ends_with_3_or_serves_until_it_appears", || Box::pin(late())),
        trial("a_frozen_server_holds_up_no_start", || Box::pin(frozen())),
        trial("settings_that_hurt_are_named_at_the_start", || Box::pin(warned())),
        trial("two_nodes_see_each_others_records", || Box::pin(two())),
        trial("u10_two_nodes_end_with_the_best_record_of_a_name", || Box::pin(names())),
    ];
    let trials = trials.into_iter().map(|trial| trial.with_ignored_flag(ignored)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: &str, test: fn() -> std::pin::Pin<Box<dyn Future<Output = ()>>>) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(test());
        Ok(())
    })
}

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/postgres.toml");

/// The shipped config on this server, with these settings.
async fn start(server: &Postgres, settings: &[&str]) -> std::io::Result<Node> {
    let settings = in_test(server, settings);
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    Node::start_with(&Home::new()?, &settings, &[("HYDRA_CONFIG", FILE)]).await
}

fn in_test(server: &Postgres, settings: &[&str]) -> Vec<String> {
    let hosts = format!("store.hosts=[\"127.0.0.1:{}\"]", server.port());
    let all = ["network.addresses=any", "engine.flush_interval_ms=100", &hosts];
    all.into_iter().chain(settings.iter().copied()).map(str::to_owned).collect()
}

async fn late() {
    let mut server = Postgres::start(&[]).unwrap();
    server.stop();
    let settings = in_test(&server, &["start_without_store=false"]);
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let home = Home::new().unwrap();
    let (status, log) = Node::refused_with(&home, &settings, &[("HYDRA_CONFIG", FILE)]).await.unwrap();
    assert_eq!(status.code(), Some(3), "{log}");
    let line = "error: cannot open store `postgres`: cannot connect to PostgreSQL at 127.0.0.1:";
    assert!(log.lines().any(|logged| logged.starts_with(line) && logged.contains("refused")), "{log}");

    let node = start(&server, &[]).await.unwrap();
    let peer = Peer::listening(PROTOCOL).await;
    let head = node.heads()[0].tcp().clone();
    assert!(!peer.find_node(&head, KEY).await.unwrap().closer.is_empty(), "it serves closer peers");
    peer.provide(&head, KEY, &peer.addresses).await.unwrap();
    server.launch().unwrap();
    let since = Instant::now();
    while server.query("hydra", "SELECT count(*) FROM hydra.records").ok() != Some(vec!["1".to_owned()]) {
        assert!(since.elapsed() < BACK_WITHIN, "not written; the log:\n{}", node.home().log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let answer = peer.providers(&head, KEY).await.unwrap();
    assert!(answer.providers.iter().any(|provider| provider.peer == peer.id));
    node.stop().await.unwrap();
}

async fn frozen() {
    let server = Postgres::start(&[]).unwrap();
    server.signal("STOP").unwrap();
    let node = start(&server, &[]).await;
    let ready = match &node {
        Ok(node) => node.page("/readyz").await.map(|page| (page.status, page.body)),
        Err(_) => Ok((0, String::new())),
    };
    // Whatever the test finds: a frozen server does not stop.
    server.signal("CONT").unwrap();
    let (node, (status, body)) = (node.unwrap(), ready.unwrap());
    assert!(status == 503 && body.starts_with("store: not open for "), "{status} {body}");
    let since = Instant::now();
    while node.page("/readyz").await.unwrap().status != 200 {
        assert!(since.elapsed() < BACK_WITHIN, "the store stays away; the log:\n{}", node.home().log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(node.home().log().contains("the store is open"), "{}", node.home().log());
    node.stop().await.unwrap();
}

async fn two() {
    let server = Postgres::start(&[]).unwrap();
    let one = start(&server, &[]).await.unwrap();
    let other = start(&server, &["heads.count=2"]).await.unwrap();
    let peer = Peer::listening(PROTOCOL).await;
    peer.provide(one.heads()[0].tcp(), KEY, &peer.addresses).await.unwrap();
    let found = peer
        .providers_until(other.heads()[1].tcp(), KEY, |answer| {
            answer.providers.iter().any(|provider| provider.peer == peer.id)
        })
        .await
        .unwrap();
    assert!(!found.providers[0].addresses.is_empty());
    one.stop().await.unwrap();
    other.stop().await.unwrap();
}

async fn warned() {
    let server = Postgres::start(&["autovacuum=off", "max_connections=10"]).unwrap();
    let node = start(&server, &[]).await.unwrap();
    let log = node.home().log();
    for said in ["autovacuum is off", "fsync is off", "the server has room for 7 connections"] {
        assert!(log.contains(said), "{said} is not in the log:\n{log}");
    }
    node.stop().await.unwrap();

    let server = Postgres::start(&["fsync=on"]).unwrap();
    let node = start(&server, &[]).await.unwrap();
    assert!(!node.home().log().contains("PostgreSQL:"), "{}", node.home().log());
    node.stop().await.unwrap();
}

async fn names() {
    let server = Postgres::start(&[]).unwrap();
    let fresh = ["engine.cache.fresh_s=1", "engine.cache.fresh_absent_s=1"];
    let nodes = [start(&server, &fresh).await.unwrap(), start(&server, &fresh).await.unwrap()];
    the_best_record_stays(&nodes).await.unwrap();
    for node in nodes {
        node.stop().await.unwrap();
    }
}

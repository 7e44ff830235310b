//! Few file descriptors: a node that cannot start says so in one line, and one that has fewer than its config wants takes
//! fewer connections, stays in reach of its operators and recovers.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

use hydra_integration_tests::network::PROTOCOL;
use hydra_integration_tests::node::{Head, Home, Node, command, program};
use hydra_integration_tests::peer::Peer;
use libp2p::multiaddr::Protocol;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

const KEY: &[u8] = b"\x12\x20a key of thirty-two bytes in all";
/// Generous: many tests share two cores.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of a log that are no flood.
const FEW_LINES: usize = 30;

/// The command that runs a node with so many descriptors.
fn limited(home: &Home, settings: &[&str], descriptors: u32) -> Command {
    let script = format!("ulimit -n {descriptors}\nexec {} run \"$@\"\n", program().unwrap().display());
    // `sh run …` in the directory of the node.
    std::fs::write(home.path().join("run"), script).unwrap();
    command(Path::new("sh"), home, settings)
}

async fn silent(head: &Head, connections: usize) -> Vec<TcpStream> {
    let port =
        head.tcp().iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None });
    let mut silent = Vec::new();
    for _ in 0..connections {
        silent.push(TcpStream::connect(("127.0.0.1", port.unwrap())).await.unwrap());
    }
    silent
}

async fn gets_in(node: &Node) {
    let client = Peer::client(PROTOCOL);
    let answered = async {
        while client.find_node(node.heads()[0].tcp(), KEY).await.is_err() {
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, answered).await.expect("a new client gets in");
}

#[tokio::test]
async fn too_few_to_start_are_told_in_one_line_with_numbers_and_the_remedy() {
    let home = Home::new().unwrap();
    let child = limited(&home, &["heads.count=500"], 256).stdout(Stdio::null()).output();
    let output = timeout(PATIENCE, child).await.unwrap().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.lines().count() < FEW_LINES, "{} lines", log.lines().count());
    let told = log.lines().last().unwrap();
    assert!(told.starts_with("error: cannot start: the node needs 1605 file descriptors to start"), "{log}");
    assert!(told.contains("the limit is 256") && told.contains("LimitNOFILE="), "{log}");
}

#[tokio::test]
async fn with_few_descriptors_operators_reach_a_node_full_of_silent_connections() {
    let home = Home::new().unwrap();
    let settings = ["heads.count=1", "store.kind=\"memory\"", "log.level=\"info\""];
    let node = Node::launch(&home, limited(&home, &settings, 128)).await.unwrap();
    let mark = |mark| [("mark", mark)];
    let before = node.metrics().await.unwrap();
    let max = before.sum("hydra_connections_mark", &mark("max"));
    assert!(max < 128.0, "the limits follow the descriptors: {max}");
    let lowered = home.log().lines().filter(|line| line.contains("too few file descriptors")).count();
    assert_eq!(lowered, 1, "{}", home.log());

    let silent = silent(&node.heads()[0], 200).await;
    for _ in 0..20 {
        assert_eq!(node.page("/readyz").await.unwrap().status, 200);
        node.metrics().await.unwrap();
    }
    let refused = async {
        while node.metrics().await.unwrap().sum("hydra_connections_refused_total", &[]) == 0.0 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, refused).await.expect("refusals are counted");
    gets_in(&node).await;
    drop(silent);
    assert!(home.log().lines().count() < FEW_LINES, "{}", home.log());
}

/// Lowers or restores the limit of a running node.
async fn set_limit(node: &Node, descriptors: usize) {
    let limit = format!("--nofile={descriptors}:");
    let status = Command::new("prlimit").args(["--pid", &node.pid().to_string(), &limit]).status().await;
    assert!(status.unwrap().success());
}

#[tokio::test]
async fn a_node_that_runs_out_stays_in_reach_and_heals_and_its_store_is_whole() {
    let home = Home::new().unwrap();
    let settings = ["heads.count=1", "engine.flush_interval_ms=100", "log.level=\"info\""];
    let node = Node::start_in(&home, &settings).await.unwrap();
    let head = node.heads()[0].tcp();
    let peer = Peer::listening(PROTOCOL).await;
    peer.provide(head, KEY, &peer.addresses).await.unwrap();
    let stored = |count: usize| async move {
        let client = Peer::client(PROTOCOL);
        let answer = client.providers_until(head, KEY, |answer| answer.providers.len() == count).await;
        assert_eq!(answer.unwrap().providers.len(), count);
    };
    stored(1).await;

    set_limit(&node, node.descriptors().unwrap()).await;
    let silent = silent(&node.heads()[0], 50).await;
    let failures = |metrics: &hydra_integration_tests::exposition::Exposition| {
        metrics.sum("hydra_connection_accept_failures_total", &[])
    };
    let ran_out = async {
        while failures(&node.metrics().await.expect("operators are served")) < 3.0 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, ran_out).await.expect("the node runs out");
    for _ in 0..20 {
        assert_eq!(node.page("/livez").await.unwrap().status, 200);
    }
    let (before, since) = (node.cpu_time().unwrap(), Instant::now());
    sleep(Duration::from_secs(2)).await;
    let (used, waited) = (node.cpu_time().unwrap() - before, since.elapsed());
    assert!(used < waited / 2, "it waits instead of trying all the time: {used:?} of {waited:?}");

    set_limit(&node, 4_096).await;
    gets_in(&node).await;
    let other = Peer::listening(PROTOCOL).await;
    other.provide(head, KEY, &other.addresses).await.unwrap();
    stored(2).await;
    drop(silent);
    assert!(home.log().lines().count() < FEW_LINES, "{}", home.log());
    assert!(node.stop().await.unwrap().success());

    let node = Node::start_in(&home, &settings).await.unwrap();
    let answer = Peer::client(PROTOCOL).providers(node.heads()[0].tcp(), KEY).await.unwrap();
    assert_eq!(answer.providers.len(), 2, "the store is whole");
}

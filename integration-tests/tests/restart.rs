//! What outlives the end of a node, however it ends: identities, ports and records.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, and what it measured is of interest"
)]

use hydra_integration_tests::node::{Home, Node};
use hydra_integration_tests::peer::Peer;
use hydra_integration_tests::raw::RawPeer;
use hydra_kad::Request;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const FLUSH: &str = "engine.flush_interval_ms=200";
/// Beside the flush interval: what a loaded machine takes until the window is written.
const WRITTEN_AFTER: Duration = Duration::from_millis(200 + 1_800);
/// The suite of the store's own crashes has the rest.
const KILLS: u64 = 5;
const ANNOUNCERS: usize = 3;

/// The key of this number: a multihash as far as anybody can tell.
fn key(number: u64) -> Vec<u8> {
    let mut key = vec![0x12, 0x20];
    key.extend(number.to_be_bytes().repeat(4));
    key
}

fn tcp_port(address: &Multiaddr) -> u16 {
    address.iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None }).unwrap()
}

/// Fails unless the record of each key is there, and is that of its provider.
async fn all_found(node: &Node, expected: &[(u64, libp2p::PeerId)]) {
    let client = Arc::new(Peer::client(PROTOCOL));
    let mut asking = JoinSet::new();
    for (number, provider) in expected.iter().copied() {
        let (client, head) = (Arc::clone(&client), node.heads()[number as usize % 3].tcp().clone());
        if asking.len() >= 16 {
            asking.join_next().await.unwrap().unwrap();
        }
        asking.spawn(async move {
            let there = |answer: &hydra_kad::Answer| answer.providers.iter().any(|one| one.peer == provider);
            let answer = client.providers_until(&head, &key(number), there).await.unwrap();
            assert!(there(&answer), "the record of key {number} is lost");
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
}

#[tokio::test]
async fn ids_and_ports_are_kept_and_a_head_goes_back_to_its_port_when_that_is_free() {
    let home = Home::new().unwrap();
    // Three ports in a row, the second of which somebody else has.
    let (base, taken) = loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let row = [0, 1, 2].map(|offset| TcpListener::bind(("127.0.0.1", first.saturating_add(offset))));
        if let [Ok(_), Ok(second), Ok(_)] = row {
            break (first, second);
        }
    };
    let setting = format!("ids.port_base={base}");
    let node = Node::start_in(&home, &[&setting]).await.unwrap();
    let heads = node.heads().to_vec();
    let ports: Vec<_> = heads.iter().map(|head| tcp_port(head.tcp())).collect();
    assert_ne!(ports[1], base + 1, "it is taken");
    assert!(home.log().contains("taken"), "{}", home.log());
    assert!(node.stop().await.unwrap().success());
    let node = Node::start_in(&home, &[&setting]).await.unwrap();
    assert_eq!(node.heads(), heads, "the free port that was found is kept while the own one is taken");
    node.kill().await.unwrap();
    drop(taken);
    for start in ["the first", "the second"] {
        let node = Node::start_in(&home, &[&setting]).await.unwrap();
        let ids = |heads: &[hydra_integration_tests::node::Head]| {
            heads.iter().map(|head| head.peer).collect::<Vec<_>>()
        };
        assert_eq!(ids(node.heads()), ids(&heads));
        let ports: Vec<_> = node.heads().iter().map(|head| tcp_port(head.tcp())).collect();
        assert_eq!(ports, [base, base + 1, base + 2], "{start}: {}", home.log());
        node.kill().await.unwrap();
    }
    assert_eq!(home.log().matches("returning to the port of the slot").count(), 1, "{}", home.log());
}

#[tokio::test]
async fn a_seed_file_that_is_lost_is_refused_where_identities_exist() {
    let home = Home::new().unwrap();
    let node = Node::start_in(&home, &[]).await.unwrap();
    let heads = node.heads().to_vec();
    assert!(node.stop().await.unwrap().success());
    let data = home.path().join("hydra-data");
    let (seed, away) = (data.join("seed"), home.path().join("away"));
    std::fs::rename(&seed, &away).unwrap();
    let program = hydra_integration_tests::node::program().unwrap();
    for command in ["check", "ids", "run"] {
        let output = std::process::Command::new(&program)
            .current_dir(home.path())
            .args([command, "--set", "ids.port_base=0", "--set", "telemetry.http.listen=127.0.0.1:0"])
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}: {told}");
        for part in ["ids.seed_file", "hydra-data/seed is missing", "put back a copy", "heads.json"] {
            assert!(told.contains(part), "{command}: no `{part}` in {told}");
        }
        assert!(!seed.exists(), "{command} has made another seed");
    }
    std::fs::rename(&away, &seed).unwrap();
    let node = Node::start_in(&home, &[]).await.unwrap();
    assert_eq!(node.heads(), heads);
    assert!(node.stop().await.unwrap().success());
    // As the message says.
    std::fs::remove_file(&seed).unwrap();
    std::fs::remove_file(data.join("ids/heads.json")).unwrap();
    let node = Node::start_in(&home, &[]).await.unwrap();
    assert_ne!(node.heads()[0].peer, heads[0].peer);
    assert!(node.stop().await.unwrap().success());
}

/// Whatever the directories are called.
#[tokio::test]
async fn a_copied_data_directory_has_the_identities_and_the_records() {
    const DATA: &str = "data_dir=\"Größe 数据\"";
    let (home, other) = (Home::new().unwrap(), Home::new().unwrap());
    let node = Node::start_in(&home, &[DATA, FLUSH]).await.unwrap();
    let (peer, heads) = (Peer::listening(PROTOCOL).await, node.heads().to_vec());
    peer.provide(heads[0].tcp(), &key(1), &peer.addresses).await.unwrap();
    all_found(&node, &[(1, peer.id)]).await;
    assert!(node.stop().await.unwrap().success());
    let mut copy = std::process::Command::new("cp");
    copy.arg("-a").arg(home.path().join("Größe 数据")).arg(other.path());
    assert!(copy.status().unwrap().success());
    for home in [&other, &home] {
        let node = Node::start_in(home, &[DATA, FLUSH]).await.unwrap();
        assert_eq!(node.heads(), heads);
        all_found(&node, &[(1, peer.id)]).await;
        assert!(node.stop().await.unwrap().success());
    }
}

/// As on a machine that is suspended.
#[tokio::test]
async fn a_node_that_is_stopped_for_a_while_goes_on_as_before() {
    let node = Node::start(&[FLUSH]).await.unwrap();
    let peer = Peer::listening(PROTOCOL).await;
    peer.provide(node.heads()[1].tcp(), &key(1), &peer.addresses).await.unwrap();
    let pid = Pid::from_raw(node.pid().try_into().unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    tokio::time::sleep(Duration::from_secs(7)).await;
    kill(pid, Signal::SIGCONT).unwrap();
    all_found(&node, &[(1, peer.id)]).await;
    let begun = Instant::now();
    while node.page("/readyz").await.unwrap().status != 200
        || node.page("/livez").await.unwrap().status != 200
    {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is not ready again: {}", node.home().log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(!node.home().log().contains("panicked"), "{}", node.home().log());
    assert!(node.stop().await.unwrap().success());
}

#[tokio::test]
async fn files_that_cannot_be_read_are_moved_aside_and_named() {
    let home = Home::new().unwrap();
    let node = Node::start_in(&home, &[]).await.unwrap();
    let peers: Vec<_> = node.heads().iter().map(|head| head.peer).collect();
    assert!(node.stop().await.unwrap().success());
    let data = home.path().join("hydra-data");
    for file in ["peers.json", "ids/heads.json"] {
        std::fs::write(data.join(file), "{ \"cut").unwrap();
    }
    let node = Node::start_in(&home, &["log.format=\"json\""]).await.unwrap();
    assert_eq!(node.heads().iter().map(|head| head.peer).collect::<Vec<_>>(), peers);
    assert!(node.stop().await.unwrap().success());
    let log = home.log();
    for file in ["peers.json.damaged", "ids/heads.json.damaged"] {
        assert_eq!(std::fs::read_to_string(data.join(file)).unwrap(), "{ \"cut", "{file}");
        let told = log.lines().filter(|line| line.contains(file)).collect::<Vec<_>>();
        assert!(told.len() == 1 && told[0].contains("\"level\":\"WARN\""), "{file}: {told:?}");
    }
}

#[tokio::test]
async fn damaged_records_are_moved_aside_and_named() {
    for (kind, dir, file) in [("fjall", "records", "version"), ("sled", "records-sled", "conf")] {
        let (home, store) = (Home::new().unwrap(), format!("store.kind=\"{kind}\""));
        let settings = [store.as_str(), "log.format=\"json\""];
        assert!(Node::start_in(&home, &settings).await.unwrap().stop().await.unwrap().success());
        let path = home.path().join("hydra-data").join(dir).join(file);
        let len = std::fs::metadata(&path).unwrap().len();
        std::fs::write(&path, vec![0xa5; len as usize]).unwrap();
        let node = Node::start_in(&home, &settings).await.unwrap();
        assert_eq!(node.page("/readyz").await.unwrap().status, 200, "it serves what comes from now on");
        assert!(node.stop().await.unwrap().success());
        let log = home.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let told: Vec<_> = lines.filter(|line| line["moved_to"].is_string()).collect();
        assert!(told.len() == 1 && told[0]["level"] == "ERROR", "{kind}: {told:?}");
        let aside = home.path().join(told[0]["moved_to"].as_str().unwrap());
        assert!(aside.join(file).exists(), "{kind}: {}", aside.display());
    }
}

#[tokio::test]
async fn another_seed_than_that_of_the_last_start_is_told() {
    let home = Home::new().unwrap();
    let first = Node::start_in(&home, &[]).await.unwrap();
    let peer = first.heads()[0].peer;
    assert!(first.stop().await.unwrap().success());
    std::fs::write(home.path().join("hydra-data/seed"), format!("2:{}\n", "07".repeat(32))).unwrap();
    let told = |log: &str| log.matches("the seed is another one than that of the last start").count();
    assert_eq!(told(&home.log()), 0);
    let second = Node::start_in(&home, &[]).await.unwrap();
    assert_ne!(second.heads()[0].peer, peer);
    assert!(second.stop().await.unwrap().success());
    assert_eq!(told(&home.log()), 1, "once, at warn: {}", home.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v21_kill_loses_no_record_older_than_the_write_interval() {
    let home = Home::new().unwrap();
    let seed: u64 = rand_seed();
    println!("seed {seed}");
    let next_key = Arc::new(AtomicU64::new(0));
    let (mut written, mut announced) = (Vec::new(), 0);
    let mut heads = None;
    for round in 0..=KILLS {
        let node = Node::start_in(&home, &[FLUSH]).await.unwrap();
        assert_eq!(node.heads(), heads.get_or_insert_with(|| node.heads().to_vec()).as_slice());
        all_found(&node, &written).await;
        if round == KILLS {
            break;
        }
        // The last round's are asked for at once, those of all rounds at the end.
        let mut announcing = JoinSet::new();
        for index in 0..ANNOUNCERS {
            let (head, next_key) = (node.heads()[index].tcp().clone(), Arc::clone(&next_key));
            announcing.spawn(async move { announce_until_killed(&head, &next_key).await });
        }
        let jitter = (seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round) >> 33) % 700;
        tokio::time::sleep(WRITTEN_AFTER + Duration::from_millis(300 + jitter)).await;
        let killed = Instant::now();
        node.kill().await.unwrap();
        let before = written.len();
        while let Some(told) = announcing.join_next().await {
            let (provider, told) = told.unwrap();
            announced += told.len();
            let old = told.iter().filter(|(_, at)| killed.duration_since(**at) > WRITTEN_AFTER);
            written.extend(old.map(|(number, _)| (*number, provider)));
        }
        assert!(written.len() > before, "round {round}: nothing was old enough to be looked for");
    }
    println!("{KILLS} kills, {announced} records announced, {} looked for and found", written.len());
}

/// Announces a key after the other at one head until it is gone, and returns when each was sent.
async fn announce_until_killed(
    head: &Multiaddr,
    next_key: &AtomicU64,
) -> (libp2p::PeerId, BTreeMap<u64, Instant>) {
    let peer = Peer::listening(PROTOCOL).await;
    let mut told = BTreeMap::new();
    loop {
        let number = next_key.fetch_add(1, Ordering::Relaxed);
        if peer.provide(head, &key(number), &peer.addresses).await.is_err() {
            return (peer.id, told);
        }
        told.insert(number, Instant::now());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn rand_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_nanos() as u64
}

#[tokio::test]
async fn a_stop_writes_what_came_a_moment_before_and_leaves_no_list_of_heads() {
    let home = Home::new().unwrap();
    // So long that only the stop itself can have written it.
    let node = Node::start_in(&home, &["engine.flush_interval_ms=60000"]).await.unwrap();
    let list = home.path().join("hydra-data/heads.json");
    assert!(list.exists());
    let peer = Peer::listening(PROTOCOL).await;
    let mut announced = Vec::new();
    for number in 0..100 {
        let head = node.heads()[number as usize % 3].tcp();
        peer.provide(head, &key(number), &peer.addresses).await.unwrap();
        announced.push((number, peer.id));
    }
    // Sent later over the same connection: the head has read what came before.
    for head in node.heads() {
        peer.find_node(head.tcp(), b"anything").await.unwrap();
    }
    assert_eq!(node.stop().await.unwrap().code(), Some(0), "{}", home.log());
    assert!(!list.exists());
    let node = Node::start_in(&home, &[]).await.unwrap();
    all_found(&node, &announced).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_streams_without_a_request() {
    let drain = Duration::from_secs(60);
    let settings = ["shutdown.drain_ms=60000", "shutdown.deadline_ms=65000"];
    let node = Node::start(&settings).await.unwrap();
    let client = RawPeer::new(PROTOCOL);
    let mut stream = client.stream(node.heads()[0].tcp()).await.unwrap();
    stream.ask(&Request::FindNode { key: key(1).into() }).await.unwrap();
    let stopping = Instant::now();
    assert_eq!(node.stop().await.unwrap().code(), Some(0));
    assert!(stopping.elapsed() < drain / 2, "it took {:?}", stopping.elapsed());
}

#[tokio::test]
async fn a_second_signal_ends_a_stop_that_takes_long() {
    let home = Home::new().unwrap();
    let frozen = home.path().join("frozen");
    let store = format!("store.while_exists=\"{}\"", frozen.display());
    // Longer than the test would wait.
    let settings = ["store.kind=\"freezing\"", &store, "shutdown.deadline_ms=600000", FLUSH];
    let node = Node::start_in(&home, &settings).await.unwrap();
    std::fs::write(&frozen, "").unwrap();
    let peer = Peer::listening(PROTOCOL).await;
    let head = node.heads()[0].tcp().clone();
    // Until the store stands still with a write in hand.
    for number in 0..20 {
        peer.provide(&head, &key(number), &peer.addresses).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    node.terminate().await.unwrap();
    // A shell and a supervisor may both send it.
    node.terminate().await.unwrap();
    until(|| home.log().contains("writing the queued records")).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!home.log().contains("second signal"), "signals within a second are one: {}", home.log());
    node.terminate().await.unwrap();
    assert_eq!(node.ended().await.unwrap().code(), Some(1));
    assert!(home.log().contains("second signal"), "{}", home.log());
}

async fn until(is: impl Fn() -> bool) {
    while !is() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_second_node_on_the_same_directory_is_told_so_and_the_first_serves_on() {
    // With an embedded store it is the store that is in use, else the identities.
    for store in ["store.kind=\"fjall\"", "store.kind=\"memory\""] {
        let home = Home::new().unwrap();
        let node = Node::start_in(&home, &[store]).await.unwrap();
        let (status, log) = Node::refused(&home, &[store]).await.unwrap();
        assert_eq!(status.code(), Some(3), "{store}: {log}");
        let tells = ["another process", "in use", "locked", "already"];
        assert!(tells.iter().any(|word| log.contains(word)), "{store}: {log}");
        assert!(log.contains("hydra-data"), "{store}: it says which: {log}");
        let client = Peer::client(PROTOCOL);
        for head in node.heads() {
            let closer = client.find_node(head.tcp(), &head.peer.to_bytes()).await.unwrap().closer;
            assert!(!closer.is_empty());
        }
        assert!(home.path().join("hydra-data/heads.json").exists(), "{store}");
        node.kill().await.unwrap();
    }
}

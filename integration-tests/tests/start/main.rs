//! Starts that do not come to their end: a store that does not open, a stop that comes first, a step that fails.

#![allow(clippy::unwrap_used, reason = "this is a test")]

mod gate;

use gate::{Attempt, Gate, Ids, Step};
use hydra_api::{ProviderStore, Registry, StoreErrorKind, StoreProfile};
use hydra_conformance::doubles::{ClaimingStore, Delay, FailingStore, Fleet, Link};
use hydra_integration_tests::http;
use hydra_integration_tests::node::{Home, Node as Process, command, program};
use hydra_integration_tests::peer::Peer;
use hydra_node::backends::Backends;
use hydra_node::config::{Setting, Sources, load};
use hydra_node::node::{Node, StartError};
use std::future::pending;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const KEY: &[u8] = b"\x12\x20a key of thirty-two bytes in all";
const LIFE: Duration = Duration::from_secs(3_600);
/// Generous: many tests share two cores.
const PATIENCE: Duration = Duration::from_secs(60);

/// The config of a node in this process with these settings, and what it names, open.
async fn backends(home: &Path, settings: &[(&str, &str)]) -> (hydra_node::config::Config, Backends) {
    let data_dir = home.join("data").display().to_string();
    let own = [
        ("heads.count", "1"),
        ("heads.listen", "[\"127.0.0.1\"]"),
        ("network.addresses", "any"),
        ("store.kind", "memory"),
        ("ids.port_base", "0"),
        ("telemetry.http.listen", "127.0.0.1:0"),
        ("data_dir", &data_dir),
    ];
    let set = |(key, value): &(&str, &str)| Setting {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
        flag: "--set".to_owned(),
    };
    let sources = Sources { settings: own.iter().chain(settings).map(set).collect(), ..Sources::default() };
    let mut registry = Registry::default();
    hydra_bundle::add_all(&mut registry);
    registry.add::<Gate>();
    let loaded = load(&registry, &sources).unwrap();
    let opened = loaded.open(&registry).await.unwrap();
    (loaded.config, opened)
}

/// Starts a node with one head over this allocator until `stop` ends. The start must fail, release every lease that the
/// allocator has given, and close the store once.
async fn fails(ids: Ids, settings: &[(&str, &str)], stop: impl Future<Output = ()>) -> StartError {
    let home = tempfile::tempdir().unwrap();
    let (config, opened) = backends(home.path(), settings).await;
    let store = Arc::new(gate::Closing::around(opened.store));
    let ids = Arc::new(ids);
    let opened =
        Backends { store: Arc::<gate::Closing>::clone(&store), ids: Arc::<Ids>::clone(&ids), ..opened };
    let started = Node::start_until(config, opened, stop).await;
    let error = started.map(|_| ()).unwrap_err();
    assert_eq!(ids.held(), [0; 0], "{error}: a lease is still held");
    assert_eq!(store.closes(), 1, "{error}: the store is closed once");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_during_the_start_releases_what_was_acquired_and_closes_the_store() {
    // The allocator has given the lease, and its answer is under way.
    let fleet = Fleet::new(1, LIFE);
    let ids = Ids::new(fleet.join(), Step::Acquired);
    ids.inner.set_delay(Delay { there: Duration::ZERO, back: Duration::from_millis(300) });
    let stop = ids.reached();
    assert!(matches!(fails(ids, &[], stop).await, StartError::Stopped));
    assert!(fleet.last(0).is_some() && fleet.holder(0).is_none());
    // The heads run, and their ports are not reported yet.
    let fleet = Fleet::new(1, LIFE);
    let ids = Ids::new(fleet.join(), Step::Renewing);
    let stop = ids.reached();
    assert!(matches!(fails(ids, &[], stop).await, StartError::Stopped));
    assert!(fleet.last(0).is_some() && fleet.holder(0).is_none());
    // The allocator does not answer.
    let fleet = Fleet::new(1, LIFE);
    let ids = Ids::new(fleet.join(), Step::Acquired);
    ids.inner.set_link(Link::Silent);
    assert!(matches!(fails(ids, &[], sleep(Duration::from_millis(200))).await, StartError::Stopped));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_fails_releases_what_was_acquired_and_closes_the_store() {
    let fleet = Fleet::new(1, LIFE);
    let ids = || Ids::new(fleet.join(), Step::None);
    // No interface of this machine has it.
    let error = fails(ids(), &[("heads.listen", "[\"192.0.2.1\"]")], pending()).await;
    assert!(matches!(error, StartError::Listen { slot: 0, .. }), "{error}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = fails(ids(), &[("telemetry.http.listen", &address)], pending()).await;
    assert!(matches!(error, StartError::Http { .. }), "{error}");
    let cut = ids();
    cut.inner.set_link(Link::Down);
    let error = fails(cut, &[], pending()).await;
    assert!(matches!(error, StartError::Ids(_)), "{error}");
    assert_eq!(fleet.holder(0), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_start_leaves_the_list_of_heads_of_a_running_node_alone() {
    let home = tempfile::tempdir().unwrap();
    let (config, opened) = backends(home.path(), &[]).await;
    let node = Node::start(config, opened).await.unwrap();
    let file = home.path().join("data").join(hydra_node::node::HEADS_FILE);
    let before = std::fs::read(&file).unwrap();
    let (config, opened) = backends(home.path(), &[]).await;
    let error = Node::start(config, opened).await.map(drop).unwrap_err();
    assert!(matches!(error, StartError::Ids(_)), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    node.stop().await.unwrap();
}

async fn page(node: &Node, path: &str) -> (u16, String) {
    let page = http::get(node.http().unwrap(), path, &[]).await.unwrap();
    (page.status, page.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_hangs_and_panics_while_it_is_opened_serves_in_the_end() {
    let attempts = [
        Attempt::Refused,
        Attempt::Hangs,
        Attempt::Blocks,
        Attempt::Panics,
        Attempt::Damaged,
        Attempt::Opens,
    ];
    let gate = Gate::make(&attempts);
    let home = tempfile::tempdir().unwrap();
    let late =
        [("start_without_store", "true"), ("open_timeout_s", "1"), ("engine.flush_interval_ms", "100")];
    let gate_settings = [("store.kind", "gate"), ("store.gate", gate.as_str())];
    let (config, opened) = backends(home.path(), &[&late[..], &gate_settings].concat()).await;
    let node = Node::start(config, opened).await.unwrap();
    let (status, body) = page(&node, "/readyz").await;
    assert!(status == 503 && body.starts_with("store: not open for "), "{status} {body}");
    assert!(body.contains("cannot connect: refused"), "{body}");
    let head = node.heads()[0].addresses.iter().find(|at| at.contains("/tcp/")).unwrap().parse().unwrap();
    let peer = Peer::listening(PROTOCOL).await;
    peer.provide(&head, KEY, &peer.addresses).await.unwrap();
    peer.find_node(&head, KEY).await.unwrap();

    let since = Instant::now();
    while page(&node, "/readyz").await.0 != 200 {
        assert_eq!(page(&node, "/livez").await.0, 200, "no restart helps");
        assert!(since.elapsed() < PATIENCE, "{:?}", page(&node, "/readyz").await);
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(Gate::attempts(&gate), attempts.len());
    assert_eq!(Gate::overlaps(), 0, "a plugin that blocks a thread is given no other");
    let written = || node.engine().stats().writes.written;
    while written() == 0 {
        assert!(since.elapsed() < PATIENCE, "what was announced before is not written");
        sleep(Duration::from_millis(100)).await;
    }
    node.stop().await.unwrap();
}

/// A node over a store that reports damage in each call, used by one process or by several.
async fn damaged(sharing: hydra_api::Sharing) -> [(u16, String); 3] {
    let home = tempfile::tempdir().unwrap();
    let (config, opened) = backends(home.path(), &[("engine.estimate_interval_s", "1")]).await;
    let profile = StoreProfile::builder().sharing(sharing).build();
    let claiming = Arc::new(ClaimingStore::new(opened.store, profile));
    let store: Arc<dyn ProviderStore> =
        Arc::new(FailingStore::new(claiming, StoreErrorKind::Corrupt, 1_000, 1));
    let node = Node::start(config, Backends { store, ..opened }).await.unwrap();
    let since = Instant::now();
    while node.engine().health().corrupt.is_none() {
        assert!(since.elapsed() < PATIENCE);
        sleep(Duration::from_millis(50)).await;
    }
    let pages =
        [page(&node, "/livez").await, page(&node, "/readyz").await, page(&node, "/readyz?verbose").await];
    drop(node.stop().await);
    pages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_ends_its_process_unless_others_use_it() {
    let [livez, ..] = damaged(hydra_api::Sharing::OneProcess).await;
    assert!(livez.0 == 503 && livez.1.starts_with("store: the store is corrupt: "), "{livez:?}");
    let [livez, readyz, verbose] = damaged(hydra_api::Sharing::BetweenProcesses).await;
    assert_eq!(livez, (200, "ok\n".to_owned()));
    let said = "store: it has reported damage since this node started: ";
    assert!(readyz.1.lines().any(|line| line.starts_with(said)), "{readyz:?}");
    assert!(verbose.1.lines().any(|line| line.starts_with(&format!("[!]{said}"))), "{verbose:?}");
}

/// Starts the program, with its log in the file of its home, and waits until it has taken over the signals.
async fn launch(home: &Home, settings: &[&str]) -> tokio::process::Child {
    let mut command = command(&program().unwrap(), home, settings);
    let log = std::fs::File::create(home.path().join("log")).unwrap();
    let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
    const TERM: u64 = 1 << 14;
    let status = format!("/proc/{}/status", child.id().unwrap());
    let caught = || {
        let status = std::fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim().to_owned();
        u64::from_str_radix(&caught, 16).unwrap() & TERM != 0
    };
    let since = Instant::now();
    while !caught() {
        assert!(since.elapsed() < PATIENCE);
        sleep(Duration::from_millis(10)).await;
    }
    child
}

fn terminate(child: &tokio::process::Child) {
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
}

async fn ended(home: &Home, mut child: tokio::process::Child) -> (Option<i32>, String) {
    let status = timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
    (status.code(), home.log())
}

#[tokio::test]
async fn a_signal_ends_a_start_whose_store_does_not_open() {
    for how in ["hangs", "blocks"] {
        let settings = ["store.kind=\"shut\"".to_owned(), format!("store.how=\"{how}\"")];
        let home = Home::new().unwrap();
        let child = launch(&home, &settings.each_ref().map(String::as_str)).await;
        // Into the opening of the store, most likely.
        sleep(Duration::from_millis(300)).await;
        let asked = Instant::now();
        terminate(&child);
        let (code, log) = ended(&home, child).await;
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("stopped before the start was complete"), "{log}");
        assert!(asked.elapsed() < Duration::from_secs(10), "{how}: {:?}", asked.elapsed());
    }
}

/// Ten thousand heads: the search goes on long after its first progress, at which the test stops the node.
#[tokio::test]
async fn a_signal_ends_the_first_search_for_identities_which_shows_its_progress() {
    let home = Home::new().unwrap();
    let settings = ["heads.count=10000", "log.format=\"json\""];
    let child = launch(&home, &settings).await;
    // Into the search, and past the first line about it.
    let since = Instant::now();
    while !home.log().contains("searching for identities") {
        assert!(since.elapsed() < PATIENCE, "no progress: {}", home.log());
        sleep(Duration::from_millis(50)).await;
    }
    terminate(&child);
    let (code, log) = ended(&home, child).await;
    assert_eq!(code, Some(0), "{log}");
    let told: serde_json::Value = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|line| line["message"] == "searching for identities")
        .unwrap_or_else(|| panic!("no progress: {log}"));
    assert_eq!(told["wanted"], 10_000, "{told}");
    assert!(told["found"].as_u64().unwrap() < 10_000, "{told}");
    // What is left is a seed that is whole, and nothing half written.
    let data = home.path().join("hydra-data");
    let seed = std::fs::read_to_string(data.join("seed")).unwrap();
    assert_eq!(seed.trim().len(), 66, "the version, a colon and 64 digits");
    let names = |dir: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).collect()
    };
    let all = [names(&data), names(&data.join("ids"))].concat();
    assert!(all.iter().all(|name| !name.contains("new")), "{all:?}");
    let node = Process::start_in(&home, &["heads.count=2"]).await.unwrap();
    assert_eq!(std::fs::read_to_string(data.join("seed")).unwrap(), seed);
    assert!(node.stop().await.unwrap().success());
}

#[tokio::test]
async fn a_store_that_does_not_open_in_time_ends_the_start_with_3() {
    let home = Home::new().unwrap();
    let settings = ["store.kind=\"shut\"", "store.how=\"hangs\"", "open_timeout_s=1"];
    let (status, log) = Process::refused(&home, &settings).await.unwrap();
    assert_eq!(status.code(), Some(3), "{log}");
    let line = "error: cannot open store `shut`: it is not open after 1s (open_timeout_s)";
    assert_eq!(
        log.lines().filter(|logged| logged.starts_with("error: ")).collect::<Vec<_>>(),
        [line],
        "{log}"
    );

    let settings = ["store.kind=\"shut\"", "store.how=\"panics\""];
    let (status, log) = Process::refused(&home, &settings).await.unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.ends_with("error: cannot open store `shut`: the plugin panicked\n"), "{log}");
}

#[tokio::test]
async fn a_call_that_the_end_of_the_process_interrupts_is_not_logged_as_a_panic() {
    let home = Home::new().unwrap();
    let frozen = home.path().join("frozen");
    let file = format!("store.while_exists=\"{}\"", frozen.display());
    let settings = [
        "store.kind=\"freezing\"",
        &file,
        "shutdown.deadline_ms=1000",
        "shutdown.drain_ms=0",
        "log.level=\"info\"",
    ];
    let node = Process::start_in(&home, &settings).await.unwrap();
    std::fs::write(&frozen, "").unwrap();
    let peer = Peer::listening(PROTOCOL).await;
    sleep(Duration::from_millis(100)).await;
    for _ in 0..3 {
        peer.provide(node.heads()[0].tcp(), KEY, &peer.addresses).await.unwrap();
        peer.providers(node.heads()[0].tcp(), KEY).await.unwrap();
    }
    sleep(Duration::from_secs(1)).await;
    let status = node.stop().await.unwrap();
    assert_eq!(status.code(), Some(1), "{}", home.log());
    assert!(!home.log().contains("panicked"), "{}", home.log());
}

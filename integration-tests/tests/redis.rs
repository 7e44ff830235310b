//! Nodes over a real Redis, one server or a cluster of three: started before it and after it, side by side, with clocks that
//! differ, and with the config files that come with hydra.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use hydra_api::{
    Addresses, ContentKey, PeerId, ProviderRecord, ProviderStore, Registry, Scope, Store, UnixSeconds,
};
use hydra_conformance::servers::{self, Redis, RedisCluster};
use hydra_integration_tests::faketime;
use hydra_integration_tests::names::the_best_record_stays;
use hydra_integration_tests::node::{Home, Node};
use hydra_integration_tests::peer::Peer;
use hydra_kad::Answer;
use libtest_mimic::{Arguments, Trial};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const KEY: &[u8] = b"\x12\x20a key of thirty-two bytes in all";
/// How long nodes may take beside what the config says. Generous: many tests share two cores.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an answer may be kept in the tests that wait for its end, much less than by default.
const FRESH_S: u64 = 2;
/// How long a record may take from one node to the other beside that.
const SLACK: Duration = Duration::from_secs(8);
/// By how much the clock of one node is ahead of that of the other.
const AHEAD: &str = "+2m";

fn main() -> ExitCode {
    let is_required = servers::required();
    let is_absent = |is_installed: bool| !is_installed && !is_required;
    let no_redis = is_absent(Redis::installed().is_some());
    let no_clock = no_redis || is_absent(faketime::library().is_some());
    let mut trials = Vec::new();
    for backend in [Backend::Standalone, Backend::Cluster] {
        let trial =
            |name: &str, is_ignored, test: Test| trial(name, backend, test).with_ignored_flag(is_ignored);
        trials.extend([
            trial("a_node_without_its_store_ends_with_3_or_serves_until_it_appears", no_redis, |servers| {
                Box::pin(late(servers))
            }),
            trial("settings_that_hurt_are_named_at_the_start", no_redis, |servers| Box::pin(warned(servers))),
            trial("two_nodes_see_each_others_records", no_redis, |servers| Box::pin(two(servers))),
            trial("u10_two_nodes_end_with_the_best_record_of_a_name", no_redis, |servers| {
                Box::pin(names(servers))
            }),
            trial("one_of_two_nodes_purges_and_the_other_follows_it", no_redis, |servers| {
                Box::pin(purged(servers))
            }),
            trial("clocks_two_minutes_apart_do_no_harm", no_clock, |servers| Box::pin(apart(servers))),
        ]);
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

type Test = fn(Servers) -> Pin<Box<dyn Future<Output = ()>>>;

fn trial(name: &str, backend: Backend, test: Test) -> Trial {
    Trial::test(format!("{backend:?}::{name}").to_lowercase(), move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(test(Servers::start(backend)));
        Ok(())
    })
}

#[derive(Debug, Clone, Copy)]
enum Backend {
    Standalone,
    Cluster,
}

/// The servers of one test.
enum Servers {
    Standalone(Redis),
    Cluster(RedisCluster),
}

impl Servers {
    fn start(backend: Backend) -> Self {
        let program = Redis::installed().expect("redis-server is installed, see .ci/install");
        match backend {
            Backend::Standalone => Self::Standalone(Redis::start(&program, &[]).unwrap()),
            Backend::Cluster => Self::Cluster(RedisCluster::start(&program, 3, 0, &[]).unwrap()),
        }
    }

    fn all(&mut self) -> &mut [Redis] {
        match self {
            Self::Standalone(server) => std::slice::from_mut(server),
            Self::Cluster(cluster) => &mut cluster.nodes,
        }
    }

    fn hosts(&self) -> Vec<String> {
        let all = match self {
            Self::Standalone(server) => std::slice::from_ref(server),
            Self::Cluster(cluster) => &cluster.nodes,
        };
        all.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect()
    }

    fn file(&self) -> &'static str {
        match self {
            Self::Standalone(_) => concat!(env!("CARGO_MANIFEST_DIR"), "/../config/redis.toml"),
            Self::Cluster(_) => concat!(env!("CARGO_MANIFEST_DIR"), "/../config/redis-cluster.toml"),
        }
    }

    /// The shipped config on these servers, with these settings.
    fn settings(&self, settings: &[&str]) -> Vec<String> {
        let hosts = format!("store.hosts={:?}", self.hosts());
        // Fewer buckets than the files name: a purge looks at all of them.
        let own = ["network.addresses=any", "engine.flush_interval_ms=100", "store.buckets_log2=10", &hosts];
        own.into_iter().chain(settings.iter().copied()).map(str::to_owned).collect()
    }

    async fn node(&self, settings: &[&str]) -> Node {
        self.node_with(settings, &[]).await
    }

    /// A node with these variables in its environment.
    async fn node_with(&self, settings: &[&str], variables: &[(&str, &str)]) -> Node {
        let settings = self.settings(settings);
        let settings: Vec<_> = settings.iter().map(String::as_str).collect();
        let variables = [&[("HYDRA_CONFIG", self.file())], variables].concat();
        Node::start_with(&Home::new().unwrap(), &settings, &variables).await.unwrap()
    }

    /// The store as the nodes use it.
    async fn store(&self) -> Arc<dyn ProviderStore> {
        let mut registry = Registry::default();
        hydra_bundle::add_all(&mut registry);
        let mode = match self {
            Self::Standalone(_) => "standalone",
            Self::Cluster(_) => "cluster",
        };
        let table = serde_json::json!({ "mode": mode, "hosts": self.hosts(), "buckets_log2": 10 });
        registry.find::<Store>("redis").unwrap().open(table, &Scope::new("unused")).await.unwrap()
    }
}

fn is_provided_by(peer: &Peer) -> impl Fn(&Answer) -> bool {
    let id = peer.id;
    move |answer| {
        answer.providers.iter().any(|provider| provider.peer == id && !provider.addresses.is_empty())
    }
}

/// Waits until the head has the record of this peer; how long that took.
async fn found(head: &libp2p::Multiaddr, peer: &Peer) -> Duration {
    let since = Instant::now();
    let answer = Peer::client(PROTOCOL).providers_until(head, KEY, is_provided_by(peer)).await.unwrap();
    assert!(is_provided_by(peer)(&answer), "{} is not found at {head}", peer.id);
    since.elapsed()
}

/// Waits until this sum of a metric is reached.
async fn until(node: &Node, metric: &str, value: f64) {
    let since = Instant::now();
    while node.metrics().await.unwrap().sum(metric, &[]) < value {
        assert!(since.elapsed() < PATIENCE, "{metric} stays below {value}; the log:\n{}", node.home().log());
        sleep(Duration::from_millis(100)).await;
    }
}

async fn late(mut servers: Servers) {
    servers.all().iter_mut().for_each(Redis::stop);
    let settings = servers.settings(&["start_without_store=false"]);
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let variables = [("HYDRA_CONFIG", servers.file())];
    let (status, log) = Node::refused_with(&Home::new().unwrap(), &settings, &variables).await.unwrap();
    assert_eq!(status.code(), Some(3), "{log}");
    let line = "error: cannot open store `redis`: cannot use Redis at 127.0.0.1:";
    assert!(log.lines().any(|logged| logged.starts_with(line) && logged.contains("refused")), "{log}");

    let node = servers.node(&["start_without_store=true"]).await;
    let peer = Peer::listening(PROTOCOL).await;
    let head = node.heads()[0].tcp().clone();
    assert!(!peer.find_node(&head, KEY).await.unwrap().closer.is_empty(), "it serves closer peers");
    assert_eq!(node.page("/readyz").await.unwrap().status, 503);
    peer.provide(&head, KEY, &peer.addresses).await.unwrap();
    servers.all().iter_mut().for_each(|server| server.launch().unwrap());
    until(&node, "hydra_records_written_total", 1.0).await;
    found(&head, &peer).await;
    assert_eq!(node.page("/readyz").await.unwrap().status, 200);
    assert!(node.stop().await.unwrap().success());
}

async fn warned(mut servers: Servers) {
    for server in servers.all() {
        server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).unwrap();
    }
    let node = servers.node(&[]).await;
    let log = node.home().log();
    for said in ["set `maxmemory-policy noeviction`", "set `appendonly yes`"] {
        assert_eq!(log.matches(said).count(), servers.all().len(), "{said}, once for each server:\n{log}");
    }
    assert!(node.stop().await.unwrap().success());
    for server in servers.all() {
        server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).unwrap();
        server.command(&["CONFIG", "SET", "appendonly", "yes"]).unwrap();
    }
    let node = servers.node(&[]).await;
    assert!(!node.home().log().contains("WARN"), "{}", node.home().log());
    assert!(node.stop().await.unwrap().success());
}

/// What one node takes is found at the other once the answer of before has come to its age.
async fn two(servers: Servers) {
    let fresh = [format!("engine.cache.fresh_s={FRESH_S}"), format!("engine.cache.fresh_absent_s={FRESH_S}")];
    let fresh = fresh.each_ref().map(String::as_str);
    let one = servers.node(&fresh).await;
    let other = servers.node(&[&fresh[..], &["heads.count=2"]].concat()).await;
    let (here, there) = (one.heads()[0].tcp(), other.heads()[1].tcp());
    let [first, second] = [Peer::listening(PROTOCOL).await, Peer::listening(PROTOCOL).await];
    // Both nodes have in their caches that nobody provides the key.
    for head in [here, there] {
        assert!(first.providers(head, KEY).await.unwrap().providers.is_empty());
    }
    first.provide(here, KEY, &first.addresses).await.unwrap();
    assert!(is_provided_by(&first)(&first.providers(here, KEY).await.unwrap()), "at its own node at once");
    let bound = Duration::from_secs(FRESH_S) + SLACK;
    assert!(found(there, &first).await < bound);
    // The other way, to a key that both know.
    second.provide(there, KEY, &second.addresses).await.unwrap();
    assert!(found(here, &second).await < bound);
    for head in [here, there] {
        assert_eq!(Peer::client(PROTOCOL).providers(head, KEY).await.unwrap().providers.len(), 2);
    }
    assert!(one.stop().await.unwrap().success());
    found(there, &first).await;
    assert!(other.stop().await.unwrap().success());
}

/// Puts so many records into the store that have expired.
async fn expired(servers: &Servers, first: u32, count: u32) {
    let now = UnixSeconds::now().0;
    let key = |number: u32| ContentKey::new(&[&[0x12, 4][..], &number.to_be_bytes()].concat()).unwrap();
    let record = |number| ProviderRecord {
        key: key(number),
        provider: PeerId::new(&[0, 1, 7]).unwrap(),
        addresses: Addresses::default(),
        expires: UnixSeconds(now - 600),
    };
    let store = servers.store().await;
    let batch: Arc<[_]> = (first..first + count).map(record).collect();
    assert_eq!(
        store.insert(batch, UnixSeconds(now - 1_200)).await.unwrap().taken(count as usize),
        count as usize
    );
    store.close().await.unwrap();
}

async fn purged(servers: Servers) {
    const METRIC: &str = "hydra_records_purged_total";
    const EXPIRED: u32 = 200;
    let often = ["engine.purge_interval_s=1"];
    let one = servers.node(&often).await;
    expired(&servers, 0, EXPIRED).await;
    until(&one, METRIC, EXPIRED.into()).await;
    let other = servers.node(&often).await;
    let peer = Peer::listening(PROTOCOL).await;
    peer.provide(other.heads()[0].tcp(), KEY, &peer.addresses).await.unwrap();
    expired(&servers, EXPIRED, EXPIRED).await;
    until(&one, METRIC, (2 * EXPIRED).into()).await;
    assert_eq!(other.metrics().await.unwrap().sum(METRIC, &[]), 0.0, "the first one holds the lease");

    // Its lease goes to the other.
    assert!(one.stop().await.unwrap().success());
    expired(&servers, 2 * EXPIRED, EXPIRED).await;
    until(&other, METRIC, EXPIRED.into()).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(
        other.metrics().await.unwrap().sum(METRIC, &[]),
        f64::from(EXPIRED),
        "and nothing else is removed"
    );
    found(other.heads()[0].tcp(), &peer).await;
    assert!(other.stop().await.unwrap().success());
}

async fn apart(servers: Servers) {
    let library = faketime::library().expect("libfaketime is installed, see .ci/install");
    let ahead = faketime::shifted(&library, AHEAD);
    let fresh = [format!("engine.cache.fresh_s={FRESH_S}"), format!("engine.cache.fresh_absent_s={FRESH_S}")];
    let settings = [&fresh[0], &fresh[1], "engine.record_ttl_hours=1", "engine.purge_interval_s=1"];
    let fast = servers.node_with(&settings, &ahead).await;
    assert!(clock_of(&fast) > UnixSeconds::now().0 + 60, "the clock is shifted: {}", fast.home().log());
    let slow = servers.node(&settings).await;
    let [at_fast, at_slow] = [Peer::listening(PROTOCOL).await, Peer::listening(PROTOCOL).await];
    let (fast_head, slow_head) = (fast.heads()[0].tcp(), slow.heads()[0].tcp());
    at_fast.provide(fast_head, KEY, &at_fast.addresses).await.unwrap();
    at_slow.provide(slow_head, KEY, &at_slow.addresses).await.unwrap();
    for head in [fast_head, slow_head] {
        found(head, &at_fast).await;
        found(head, &at_slow).await;
    }
    // A refresh by the clock that is behind takes nothing away, nor does a purge by the one that is ahead: it has the lease.
    at_fast.provide(slow_head, KEY, &at_fast.addresses).await.unwrap();
    expired(&servers, 0, 100).await;
    until(&fast, "hydra_records_purged_total", 100.0).await;
    sleep(Duration::from_secs(FRESH_S + 1)).await;
    for (head, peer) in [(fast_head, &at_slow), (slow_head, &at_fast), (slow_head, &at_slow)] {
        found(head, peer).await;
    }
    for node in [fast, slow] {
        let told = node.metrics().await.unwrap();
        // A loaded machine may well make a call late.
        for error in ["corrupt", "refused", "panic"] {
            assert_eq!(told.sum("hydra_store_calls_failed_total", &[("error", error)]), 0.0, "{error}");
        }
        let purged = told.sum("hydra_records_purged_total", &[]);
        assert!(purged == 0.0 || purged == 100.0, "{purged}");
        assert!(node.stop().await.unwrap().success());
    }
}

/// The time of the last line of a node's log.
fn clock_of(node: &Node) -> u32 {
    let log = node.home().log();
    let line: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let text = line["timestamp"].as_str().unwrap().to_owned();
    let seconds = std::process::Command::new("date").args(["-u", "-d", &text, "+%s"]).output().unwrap();
    String::from_utf8(seconds.stdout).unwrap().trim().parse().unwrap()
}

async fn names(servers: Servers) {
    let fresh = ["engine.cache.fresh_s=1", "engine.cache.fresh_absent_s=1"];
    let nodes = [servers.node(&fresh).await, servers.node(&fresh).await];
    the_best_record_stays(&nodes).await.unwrap();
    for node in nodes {
        node.stop().await.unwrap();
    }
}

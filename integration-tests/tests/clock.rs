//! Clocks that are wrong: what was announced by them, and what a node with one makes of its records.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use hydra_api::{
    Addresses, ContentKey, Found, PeerId, ProviderRecord, ProviderStore, PurgeProgress, Registry, Scope,
    Store, UnixSeconds,
};
use hydra_conformance::servers;
use hydra_integration_tests::faketime;
use hydra_integration_tests::node::{Home, Node};
use hydra_integration_tests::peer::Peer;
use serde_json::{Value, json};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);
const LIFE: Duration = Duration::from_secs(48 * 3_600);
/// More than fit into the row of a key.
const PROVIDERS: u8 = 40;

async fn open(kind: &str, table: &Value, dir: &Path) -> Arc<dyn ProviderStore> {
    let mut registry = Registry::default();
    hydra_bundle::add_all(&mut registry);
    let store = registry.find::<Store>(kind).unwrap();
    store.open(table.clone(), &Scope::new(dir)).await.unwrap()
}

fn record(key: u8, provider: u8, expires: UnixSeconds) -> ProviderRecord {
    let peer =
        libp2p::identity::Keypair::ed25519_from_bytes([provider + 1; 32]).unwrap().public().to_peer_id();
    ProviderRecord {
        key: ContentKey::new(&[&[0x12, 0x20][..], &[key; 32]].concat()).unwrap(),
        provider: PeerId::new(&peer.to_bytes()).unwrap(),
        addresses: Addresses::default(),
        expires,
    }
}

/// Steps of a purge until it is done; how many records went.
async fn purge(store: &dyn ProviderStore, now: UnixSeconds) -> u64 {
    let mut removed = 0;
    loop {
        let step = store.purge_expired(now, NonZeroU32::new(1_000).unwrap()).await.unwrap();
        removed += step.removed;
        if step.progress == PurgeProgress::Done {
            return removed;
        }
    }
}

/// The expiries of a key.
async fn expiries(store: &dyn ProviderStore, key: u8, now: UnixSeconds) -> Vec<UnixSeconds> {
    let keys = Arc::new([record(key, 0, NOW).key]);
    match store.providers(keys, now, NonZeroU32::new(100).unwrap()).await.unwrap().remove(0) {
        Found::Known(providers) => providers.into_iter().map(|provider| provider.expires).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expiry_beyond_any_life_is_lowered_once_and_for_all() {
    for kind in ["memory", "fjall", "sled"] {
        let dir = tempfile::tempdir().unwrap();
        lowers_expiries(kind, &json!({}), dir.path()).await;
    }
}

/// The store that several nodes share, where it is installed. All servers have to be there in CI.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_lowers_an_expiry_beyond_any_life() {
    if servers::Postgres::installed().is_none() && !servers::required() {
        return;
    }
    let server = servers::Postgres::start(&[]).unwrap();
    let table = json!({ "hosts": [format!("127.0.0.1:{}", server.port())], "refresh_slack_s": 0 });
    lowers_expiries("postgres", &table, Path::new("/")).await;
    // The rows of the providers are not kept for years either: their life is that of their records, and some hours.
    let latest = NOW.saturating_add(LIFE).saturating_add(Duration::from_secs(86_400)).0;
    let query = format!("SELECT count(*) FROM hydra.peers WHERE expires::int8 + 2147483648 > {latest}");
    assert_eq!(server.query("hydra", &query).unwrap(), ["0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_lowers_an_expiry_beyond_any_life() {
    let Some(program) = servers::Redis::installed() else {
        assert!(!servers::required(), "Redis is installed, see .ci/install");
        return;
    };
    for scripts in ["auto", "off"] {
        let server = servers::Redis::start(&program, &[]).unwrap();
        let hosts = [format!("127.0.0.1:{}", server.port())];
        let table = json!({ "hosts": hosts, "buckets_log2": 10, "scripts": scripts });
        lowers_expiries("redis", &table, Path::new("/")).await;
        // The rows of the providers are not kept for years either.
        let longest = "local longest = 0 for _, name in ipairs(redis.call('KEYS', '*')) do \
            if string.find(name, '}p') then longest = math.max(longest, redis.call('TTL', name)) end end return longest";
        let longest: u64 = server.command(&["EVAL", longest, "0"]).unwrap().trim().parse().unwrap();
        assert!(longest > 0 && longest < 2 * LIFE.as_secs(), "{scripts}: {longest} s");
    }
}

/// One of the nodes that share a store has a clock that is days behind, and takes the records of the others for too late. This test
/// runs itself once more with such a clock, and another time for each way to purge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_lowers_no_expiry_for_a_clock_that_is_behind() {
    const PORT: &str = "HYDRA_TEST_REDIS_PORT";
    if let Ok(port) = std::env::var(PORT) {
        for scripts in ["auto", "off"] {
            lowers_nothing_for_a_clock_behind(&json!({
                "hosts": [format!("127.0.0.1:{port}")], "prefix": scripts, "buckets_log2": 10, "scripts": scripts,
            }))
            .await;
        }
        return;
    }
    let (Some(program), Some(library)) = (servers::Redis::installed(), faketime::library()) else {
        assert!(!servers::required(), "Redis and libfaketime are installed, see .ci/install");
        return;
    };
    let server = servers::Redis::start(&program, &[]).unwrap();
    let again = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "redis_lowers_no_expiry_for_a_clock_that_is_behind"])
        .envs(faketime::shifted(&library, "-10d"))
        .env(PORT, server.port().to_string())
        .output()
        .await
        .unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
    assert!(String::from_utf8_lossy(&again.stdout).contains("1 passed"), "it ran");
}

/// The clock of this process is ten days behind that of the server.
async fn lowers_nothing_for_a_clock_behind(table: &Value) {
    let store = open("redis", table, Path::new("/")).await;
    let behind = UnixSeconds::now();
    let right = behind.saturating_add(Duration::from_secs(10 * 24 * 3_600));
    let others = [right.saturating_add(LIFE), right.saturating_add(YEARS)];
    store.insert([record(1, 0, others[0]), record(2, 0, others[1])].into(), right).await.unwrap();
    store.expire_by(behind.saturating_add(LIFE).saturating_add(Duration::from_secs(300)));
    assert_eq!(purge(&*store, behind).await, 0);
    assert_eq!(expiries(&*store, 1, right).await, [others[0]], "{table}");
    let lowered = expiries(&*store, 2, right).await[0];
    assert!(
        lowered > others[0] && lowered < others[1],
        "what is later than any life still is lowered: {table}"
    );
    store.close().await.unwrap();
}

/// Steps of its purge lower what is later than any life, and nothing else.
async fn lowers_expiries(kind: &str, table: &Value, dir: &Path) {
    let mut store = open(kind, table, dir).await;
    let usual = NOW.saturating_add(LIFE / 2);
    let far = (0..PROVIDERS).map(|provider| record(1, provider, NOW.saturating_add(YEARS)));
    let batch: Arc<[_]> = far.chain([record(2, 0, usual), record(2, 1, NOW.saturating_add(YEARS))]).collect();
    store.insert(batch, NOW).await.unwrap();
    assert_eq!(purge(&*store, NOW).await, 0);
    assert_eq!(expiries(&*store, 1, NOW).await, vec![NOW.saturating_add(YEARS); PROVIDERS.into()], "{kind}");

    let latest = NOW.saturating_add(LIFE);
    store.expire_by(latest);
    assert_eq!(purge(&*store, NOW).await, 0, "{kind}: none has expired");
    // Later purges have later dates, which change nothing.
    store.expire_by(latest.saturating_add(LIFE));
    assert_eq!(purge(&*store, NOW).await, 0);
    if kind != "memory" {
        store.close().await.unwrap();
        drop(store);
        store = open(kind, table, dir).await;
    }
    assert_eq!(expiries(&*store, 1, NOW).await, vec![latest; PROVIDERS.into()], "{kind}");
    assert_eq!(expiries(&*store, 2, NOW).await, [latest, usual], "{kind}");
    assert!(expiries(&*store, 1, latest).await.is_empty(), "{kind}");
    assert_eq!(purge(&*store, latest).await, u64::from(PROVIDERS) + 2, "{kind}: all have ended");
    store.close().await.unwrap();
}

/// Ten years behind, and right again: the node serves what lives, panics at nothing and purges nothing that lives.
#[tokio::test]
async fn a_node_whose_clock_is_years_off_keeps_what_lives() {
    let Some(library) = faketime::library() else {
        assert!(std::env::var_os("CI").is_none(), "libfaketime is installed, see .ci/install");
        return;
    };
    let key = [&[0x12, 0x20][..], &[5; 32]].concat();
    for store in ["fjall", "sled"] {
        let home = Home::new().unwrap();
        let store = format!("store.kind=\"{store}\"");
        let settings = ["heads.count=1", "engine.purge_interval_s=1", "engine.flush_interval_ms=50", &store];
        let announced = Peer::listening(PROTOCOL).await;
        let there = |answer: &hydra_kad::Answer| !answer.providers.is_empty();
        for shift in ["+0", "-3650d", "+0"] {
            let node = Node::start_with(&home, &settings, &faketime::shifted(&library, shift)).await.unwrap();
            let head = node.heads()[0].tcp().clone();
            if shift == "+0" {
                announced.provide(&head, &key, &announced.addresses).await.unwrap();
            }
            // Past a few purges.
            tokio::time::sleep(Duration::from_secs(3)).await;
            let found = Peer::client(PROTOCOL).providers_until(&head, &key, there).await.unwrap();
            assert!(there(&found), "{store}, {shift}: {}", home.log());
            assert_eq!(node.metrics().await.unwrap().sum("hydra_records_purged_total", &[]), 0.0);
            assert!(node.stop().await.unwrap().success());
        }
        assert!(!home.log().contains("panicked"), "{}", home.log());
    }
}

/// Shifts the clock of a program that follows this file, which is never seen half-written.
fn shift(file: &Path, by: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, by).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// Ten years ahead, ten years behind, and right again, within one run: what lives is served whenever the clock is not ahead of
/// its life, and is not purged.
#[tokio::test]
async fn a_clock_that_jumps_while_a_node_runs_ends_nothing_that_lives() {
    let Some(library) = faketime::library() else {
        assert!(std::env::var_os("CI").is_none(), "libfaketime is installed, see .ci/install");
        return;
    };
    let key = [&[0x12, 0x20][..], &[5; 32]].concat();
    for store in ["memory", "fjall", "sled"] {
        let home = Home::new().unwrap();
        let file = home.path().join("shift");
        shift(&file, "+0");
        let store = format!("store.kind=\"{store}\"");
        let settings = [
            "heads.count=1",
            "engine.purge_interval_s=1",
            "engine.flush_interval_ms=50",
            "engine.cache.fresh_absent_s=1",
            &store,
        ];
        let node = Node::start_with(&home, &settings, &faketime::following(&library, &file)).await.unwrap();
        let head = node.heads()[0].tcp().clone();
        let announced = Peer::listening(PROTOCOL).await;
        announced.provide(&head, &key, &announced.addresses).await.unwrap();
        let client = Peer::client(PROTOCOL);
        for (by, is_served) in [("+0", true), ("+3650d", false), ("+0", true), ("-3650d", true), ("+0", true)]
        {
            shift(&file, by);
            let found =
                client.providers_until(&head, &key, |answer| answer.providers.is_empty() != is_served);
            let found = found.await.unwrap();
            assert_eq!(!found.providers.is_empty(), is_served, "{store}, {by}: {}", home.log());
            // Past a few purges.
            tokio::time::sleep(Duration::from_secs(3)).await;
            let purged = node.metrics().await.unwrap().sum("hydra_records_purged_total", &[]);
            assert_eq!(purged, 0.0, "{store}, {by}");
        }
        assert!(node.stop().await.unwrap().success());
        assert!(!home.log().contains("panicked"), "{}", home.log());
    }
}

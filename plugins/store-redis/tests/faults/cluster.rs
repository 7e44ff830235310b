//! Faults of a cluster.

use crate::shop::{PATIENCE, Shop, config, program};
use hydra_api::{Inserted, RecordOutcome, StoreErrorKind};
use hydra_conformance::servers::{Redis as Server, RedisCluster};
use hydra_store_redis::{Config, Mode};
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) fn cluster(replicas: usize) -> (RedisCluster, Config) {
    let cluster = RedisCluster::start(&program(), 3, replicas, &["--appendonly", "yes"]).unwrap();
    let ports: Vec<_> = cluster.nodes.iter().map(Server::port).collect();
    (cluster, Config { mode: Mode::Cluster, ..config(&ports) })
}

pub(crate) async fn dead_master() {
    let (mut cluster, config) = cluster(0);
    let shop = Shop::of(config).await;
    shop.insert(0..256).await;
    cluster.nodes[1].kill().unwrap();
    let looked = shop.look(0..256).await;
    let unknown = looked.iter().filter(|state| state.is_none()).count();
    assert!((40..130).contains(&unknown), "{unknown} of 256 keys are unknown");
    assert!(!looked.contains(&Some(false)), "a record is said to be absent");
    // Now the server is known to be dead: nobody waits for it.
    let since = Instant::now();
    for _ in 0..50 {
        let looked = shop.look(0..256).await;
        assert_eq!(looked.iter().filter(|state| state.is_none()).count(), unknown);
    }
    assert!(since.elapsed() < PATIENCE / 2, "50 reads took {:?}", since.elapsed());
    // A call for its keys alone says so and does not fail: a node would pause all calls for failures.
    for number in 0..64 {
        let found = shop.try_read(number..number + 1).await;
        assert!(found.is_ok(), "{found:?}");
        let inserted = shop.try_insert(number..number + 1).await;
        assert!(inserted.is_ok(), "{inserted:?}");
    }
    // Writes likewise.
    let Ok(Inserted::Each(outcomes)) = shop.try_insert(0..256).await else { panic!("all failed, or none") };
    let lost = RecordOutcome::Unknown(StoreErrorKind::Unavailable);
    assert!(outcomes.contains(&RecordOutcome::Taken) && outcomes.contains(&lost), "{outcomes:?}");
    let estimate = shop.0.estimate().await;
    assert!(estimate.is_err() || estimate.is_ok_and(|estimate| (128..512).contains(&estimate.records)));
    cluster.nodes[1].launch().unwrap();
    shop.recovers(0..256).await;
}

/// As `dead_master`, of a master that is frozen and not dead.
pub(crate) async fn frozen_master() {
    let (cluster, config) = cluster(0);
    let shop = Shop::of(config).await;
    shop.insert(0..256).await;
    cluster.nodes[1].signal("STOP").unwrap();
    let looked = shop.look(0..256).await;
    let unknown = looked.iter().filter(|state| state.is_none()).count();
    assert!((40..130).contains(&unknown), "{unknown} of 256 keys are unknown");
    let mut failed = Vec::new();
    for number in 0..64 {
        let read = shop.try_read(number..number + 1).await.map(drop);
        let inserted = shop.try_insert(number..number + 1).await.map(drop);
        failed.extend([read, inserted].into_iter().filter_map(Result::err).map(|error| error.to_string()));
    }
    cluster.nodes[1].signal("CONT").unwrap();
    assert!(failed.is_empty(), "{} of 128 calls failed as a whole: {}", failed.len(), failed[0]);
}

pub(crate) async fn failover() {
    let (mut cluster, config) = cluster(1);
    let shop = Shop::of(config).await;
    shop.insert(0..256).await;
    // In order, each replica takes over from its master.
    for replica in 3..6 {
        take_over(&cluster.nodes[replica]).await;
        shop.recovers(256..300).await;
        shop.has(0..256).await;
    }
    // And by force: the master is killed.
    cluster.nodes[3].kill().unwrap();
    shop.recovers(0..256).await;
    shop.has(0..256).await;
}

/// Makes a replica the master. It gives up after five seconds if it does not get all of its master meanwhile, and is asked again.
async fn take_over(replica: &Server) {
    let since = Instant::now();
    while !replica.command(&["ROLE"]).unwrap().starts_with("master") {
        assert!(since.elapsed() < PATIENCE, "it stays a replica");
        let asked = Instant::now();
        // It has become the master just now, or has not given up yet.
        drop(replica.command(&["CLUSTER", "FAILOVER"]));
        while asked.elapsed() < Duration::from_secs(6)
            && !replica.command(&["ROLE"]).unwrap().starts_with("master")
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Moves a slot as `redis-cli --cluster reshard` does, with calls at each step.
pub(crate) async fn moving_slots() {
    let (cluster, config) = cluster(0);
    let shop = Shop::of(config).await;
    shop.insert(0..256).await;
    // A key with many providers has two keys in Redis that move one after the other.
    let crowd: Vec<_> = (0..40).map(|peer| hydra_conformance::given::record(1000, peer)).collect();
    shop.0.insert(crowd.into(), hydra_conformance::given::NOW).await.unwrap();
    let (from, to) = (&cluster.nodes[0], &cluster.nodes[1]);
    let id = |node: &Server| node.command(&["CLUSTER", "MYID"]).unwrap();
    let (from_id, to_id, to_port) = (id(from), id(to), to.port().to_string());
    // The slots of the first third belong to the first node.
    for slot in (0..5000).filter(|slot| used(from, *slot)).take(30) {
        let slot = slot.to_string();
        to.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).unwrap();
        from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).unwrap();
        shop.has(0..256).await;
        // Half of the keys are there, half are here: what is not known must not be said to be absent.
        let names = names(from, &slot);
        let (first, second) = names.split_at(names.len() / 2);
        migrate(from, first, &to_port);
        assert!(!shop.look(0..256).await.contains(&Some(false)));
        migrate(from, second, &to_port);
        shop.recovers(0..256).await;
        for node in [to, from, &cluster.nodes[2]] {
            node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).unwrap();
        }
        shop.insert(0..256).await;
        shop.has(0..256).await;
    }
    let found = shop.try_read(1000..1001).await.unwrap();
    assert_eq!(found[0].providers().len(), 40);
}

/// A slot is on its way to a node that has died before it got any.
pub(crate) async fn dead_joining_node(log: &Path) {
    let (cluster, config) = cluster(0);
    let shop = Shop::of(config).await;
    shop.insert(0..256).await;
    let mut joining = Server::start(&program(), &["--cluster-enabled", "yes"]).unwrap();
    let (from, port) = (&cluster.nodes[0], joining.port().to_string());
    let id = joining.command(&["CLUSTER", "MYID"]).unwrap();
    from.command(&["CLUSTER", "MEET", "127.0.0.1", &port]).unwrap();
    let known = || from.command(&["CLUSTER", "NODES"]).unwrap();
    let since = Instant::now();
    while !known().lines().any(|line| line.starts_with(&id) && !line.contains("handshake")) {
        assert!(since.elapsed() < PATIENCE, "the node is not met");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let slot = (0..5000).find(|slot| used(from, *slot)).unwrap().to_string();
    from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id]).unwrap();
    // What is no longer here the node sends to the next one.
    for name in names(from, &slot) {
        redis::cmd("DEL").arg(name).exec(&mut connection(from)).unwrap();
    }
    joining.kill().unwrap();
    for _ in 0..50 {
        shop.look(0..256).await;
    }
    let log = std::fs::read_to_string(log).unwrap();
    let lines = log.lines().filter(|line| line.contains("does not answer") && line.contains(&port)).count();
    assert_eq!(lines, 1, "{log}");
}

/// A slot that no master has: its keys are unknown, and log and figures name the cause.
pub(crate) async fn unserved_slot(log: &Path) {
    let (cluster, config) = cluster(0);
    let shop = Shop::of(config).await;
    shop.insert(0..256).await;
    let slot = (0..5000).find(|slot| used(&cluster.nodes[0], *slot)).unwrap().to_string();
    for node in &cluster.nodes {
        node.command(&["CLUSTER", "DELSLOTS", &slot]).unwrap();
    }
    let errors = || {
        hydra_conformance::published::figure(
            &*shop.0,
            "db_client_errors_total",
            &[("error_type", "CLUSTERDOWN")],
        )
    };
    // At first the master says so, and then it is known to have gone.
    for _ in 0..50 {
        let before = errors();
        let unknown = shop.look(0..256).await.iter().filter(|state| state.is_none()).count();
        assert!((1..200).contains(&unknown), "{unknown} of 256 keys are unknown");
        assert!(errors() > before, "no error is counted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = std::fs::read_to_string(log).unwrap();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("WARN") && line.contains("slot")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    cluster.nodes[0].command(&["CLUSTER", "ADDSLOTS", &slot]).unwrap();
    shop.recovers(0..256).await;
}

fn used(node: &Server, slot: u32) -> bool {
    node.command(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).unwrap() != "0"
}

fn connection(node: &Server) -> redis::Connection {
    redis::Client::open(format!("redis://127.0.0.1:{}", node.port())).unwrap().get_connection().unwrap()
}

fn names(node: &Server, slot: &str) -> Vec<Vec<u8>> {
    redis::cmd("CLUSTER").arg("GETKEYSINSLOT").arg(slot).arg(1000).query(&mut connection(node)).unwrap()
}

fn migrate(from: &Server, names: &[Vec<u8>], to_port: &str) {
    for name in names {
        let mut migrate = redis::cmd("MIGRATE");
        migrate.arg("127.0.0.1").arg(to_port).arg(name).arg(0).arg(5000);
        migrate.exec(&mut connection(from)).unwrap();
    }
}

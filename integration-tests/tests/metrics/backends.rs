//! Nodes over real servers, whose stores publish figures of their own.

use crate::{PROTOCOL, formats_agree, key, labels_are_words, metrics_until};
use hydra_conformance::servers::{Postgres, Redis};
use hydra_integration_tests::exposition::Exposition;
use hydra_integration_tests::node::Node;
use hydra_integration_tests::peer::Peer;

/// What makes a node look at its store all the time.
const OFTEN: [&str; 3] =
    ["engine.flush_interval_ms=100", "engine.estimate_interval_s=1", "engine.purge_interval_s=1"];

pub(crate) fn are_installed() -> bool {
    Postgres::installed().is_some() && Redis::installed().is_some()
}

fn redis() -> Redis {
    let program = Redis::installed().unwrap_or_else(|| "redis-server".into());
    Redis::start(&program, &["--maxmemory", "100mb"]).unwrap()
}

fn of_postgres(server: &Postgres) -> String {
    format!("{{kind=\"postgres\", hosts=[\"127.0.0.1:{}\"]}}", server.port())
}

fn of_redis(server: &Redis) -> String {
    format!("{{kind=\"redis\", buckets_log2=10, hosts=[\"127.0.0.1:{}\"]}}", server.port())
}

async fn start(store: &str, settings: &[&str]) -> Node {
    let store = format!("store={store}");
    let settings: Vec<_> =
        [store.as_str()].into_iter().chain(OFTEN).chain(settings.iter().copied()).collect();
    Node::start(&settings).await.unwrap()
}

/// A node over Redis and PostgreSQL: it publishes all that there is.
pub(crate) struct Tiers {
    node: Node,
    postgres: Postgres,
    _redis: Redis,
}

impl Tiers {
    pub(crate) async fn start(settings: &[&str]) -> Self {
        let (postgres, redis) = (Postgres::start(&[]).unwrap(), redis());
        let tiers = format!("{{kind=\"tiered\", tiers=[{}, {}]}}", of_redis(&redis), of_postgres(&postgres));
        let node = start(&tiers, settings).await;
        Self { node, postgres, _redis: redis }
    }

    /// What is told once the node and its servers have done everything by themselves that they do at the start.
    pub(crate) async fn settled(&self) -> Exposition {
        self.postgres.execute("hydra", "VACUUM hydra.records, hydra.peers").unwrap();
        let seen = ["hydra_records", "db_table_vacuum_age_seconds", "db_memory_bytes"];
        let all_told =
            |told: &Exposition| seen.iter().all(|seen| told.samples().any(|(name, _, _)| name == seen));
        metrics_until(&self.node, all_told).await
    }
}

/// Nodes over one store, and over both.
pub(crate) async fn each() {
    let (postgres, redis) = (Postgres::start(&[]).unwrap(), redis());
    for (kind, system, store) in
        [("postgres", "postgresql", of_postgres(&postgres)), ("redis", "redis", of_redis(&redis))]
    {
        let node = start(&store, &[]).await;
        serves(&node).await;
        let labels = [("store", kind), ("db_system_name", system)];
        for operation in
            ["insert", "providers", "purge_expired", "estimate", "purge_values", "estimate_values"]
        {
            let labels = [labels[0], labels[1], ("db_operation_name", operation)];
            let name = "db_client_operation_duration_seconds_count";
            let told = metrics_until(&node, |told| told.sum(name, &labels) > 0.0).await;
            assert!(told.sum(name, &labels) > 0.0, "{operation} of {kind}");
        }
        let told = node.metrics().await.unwrap();
        assert!(told.sum("db_client_connections", &labels) >= 1.0, "{kind}");
        assert!(told.sum("db_client_connects_total", &labels) >= 1.0, "{kind}");
        assert_eq!(told.sum("hydra_store_series_refused", &[]), 0.0, "{kind}");
        labels_are_words(&told);
        formats_agree(&node).await;
        node.stop().await.unwrap();
    }
    let tiers = Tiers::start(&[]).await;
    serves(&tiers.node).await;
    tiers.settled().await;
    let name = "db_client_operation_duration_seconds_count";
    // What it does in the background it has done once: until then it has no series.
    let purged = [("db_operation_name", "purge_values")];
    let told = metrics_until(&tiers.node, |told| told.sum(name, &purged) > 0.0).await;
    for (tier, system) in [("0", "redis"), ("1", "postgresql")] {
        let labels = [("store", "tiered"), ("tier", tier), ("db_system_name", system)];
        assert!(told.sum(name, &labels) > 0.0, "{system}");
    }
    assert_eq!(told.sum("hydra_store_series_refused", &[]), 0.0);
    labels_are_words(&told);
    formats_agree(&tiers.node).await;
}

/// Writes a record and reads it and another.
async fn serves(node: &Node) {
    let (peer, head) = (Peer::listening(PROTOCOL).await, node.heads()[0].tcp());
    peer.provide(head, &key(1), &peer.addresses).await.unwrap();
    metrics_until(node, |told| told.sum("hydra_records_written_total", &[]) >= 1.0).await;
    for number in 1..3 {
        peer.providers(head, &key(number)).await.unwrap();
    }
}

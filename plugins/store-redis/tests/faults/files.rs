//! The config files that come with hydra, each with the servers of the test for its hosts.

use crate::cluster::cluster;
use crate::shop::{Shop, server};
use hydra_store_redis::Config;

fn store_of(file: &str, ports: &[u16]) -> Config {
    let path = format!("{}/../../config/{file}", env!("CARGO_MANIFEST_DIR"));
    let file: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let mut store = file["store"].as_table().unwrap().clone();
    assert_eq!(
        store.remove("kind").unwrap().as_str(),
        Some(<hydra_store_redis::Redis as hydra_api::Plugin>::KIND)
    );
    let config: Config = store.try_into().unwrap();
    Config { hosts: ports.iter().map(|port| format!("127.0.0.1:{port}")).collect(), ..config }
}

pub(crate) async fn standalone() {
    let server = server(&[]);
    let shop = Shop::of(store_of("redis.toml", &[server.port()])).await;
    shop.insert(0..100).await;
    shop.has(0..100).await;
}

pub(crate) async fn of_cluster() {
    let (cluster, _) = cluster(0);
    let ports: Vec<_> = cluster.nodes.iter().map(hydra_conformance::servers::Redis::port).collect();
    let shop = Shop::of(store_of("redis-cluster.toml", &ports)).await;
    shop.insert(0..100).await;
    shop.has(0..100).await;
}

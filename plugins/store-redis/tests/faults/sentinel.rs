//! A failover by sentinels.

use crate::shop::{PATIENCE, Shop, config, program};
use hydra_api::Causes;
use hydra_conformance::servers::RedisSentinel;
use hydra_store_redis::{Config, Mode, Sentinel};
use std::time::{Duration, Instant};

async fn shop(servers: &RedisSentinel) -> Shop {
    let sentinel = Sentinel { master: "hydra".to_owned(), ..Sentinel::default() };
    Shop::of(Config { mode: Mode::Sentinel, sentinel, ..config(servers.ports()) }).await
}

/// The sentinels must know each other and the replica before they can act.
async fn until_ready(servers: &RedisSentinel) {
    let master = || servers.command(&["SENTINEL", "MASTER", "hydra"]).unwrap();
    while !(master().contains("num-other-sentinels\n2") && master().contains("num-slaves\n1")) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    servers.until_replicated().unwrap();
}

pub(crate) async fn promoted() {
    let mut servers = RedisSentinel::start(&program()).unwrap();
    let shop = shop(&servers).await;
    shop.insert(0..100).await;
    until_ready(&servers).await;
    servers.servers[0].kill().unwrap();
    shop.recovers(100..200).await;
    shop.has(0..100).await;
}

/// The master is started again and loads its data for longer than this test takes, while the replica takes over.
pub(crate) async fn promoted_beside_a_loading_master() {
    let slowly = [
        ["--save", "3600 1"],
        ["--key-load-delay", "2000"],
        ["--loading-process-events-interval-bytes", "1024"],
    ];
    let mut servers = RedisSentinel::start_with(&program(), slowly.as_flattened()).unwrap();
    let shop = shop(&servers).await;
    shop.insert(0..100).await;
    let fill = "for number = 1, 20000 do redis.call('SET', 'filler' .. number, '') end";
    servers.servers[0].command(&["EVAL", fill, "0"]).unwrap();
    until_ready(&servers).await;
    servers.servers[0].stop();
    servers.servers[0].launch().unwrap();
    let since = Instant::now();
    while !shop.try_read(0..1).await.is_err_and(|error| Causes(&error).to_string().contains("LOADING")) {
        assert!(since.elapsed() < PATIENCE, "the master does not load");
    }
    // A sentinel takes a server that loads for one that is well.
    while servers.command(&["SENTINEL", "FAILOVER", "hydra"]).is_err() {
        assert!(since.elapsed() < PATIENCE, "there is no failover");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    shop.recovers(100..200).await;
    shop.has(0..100).await;
    let info = servers.servers[0].command(&["INFO", "persistence"]).unwrap();
    assert!(info.contains("loading:1"), "the master of before has loaded its data");
}

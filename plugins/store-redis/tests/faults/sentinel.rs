//! A failover by sentinels.

use crate::shop::{Shop, config, program};
use hydra_conformance::servers::RedisSentinel;
use hydra_store_redis::{Config, Mode, Sentinel};
use std::time::Duration;

pub(crate) async fn promoted() {
    let mut servers = RedisSentinel::start(&program()).unwrap();
    let sentinel = Sentinel { master: "hydra".to_owned(), ..Sentinel::default() };
    let shop = Shop::of(Config { mode: Mode::Sentinel, sentinel, ..config(servers.ports()) }).await;
    shop.insert(0..100).await;
    // The sentinels must know each other and the replica before they can act.
    let master = || servers.command(&["SENTINEL", "MASTER", "hydra"]).unwrap();
    while !(master().contains("num-other-sentinels\n2") && master().contains("num-slaves\n1")) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    servers.until_replicated().unwrap();
    servers.servers[0].kill().unwrap();
    shop.recovers(100..200).await;
    shop.has(0..100).await;
}

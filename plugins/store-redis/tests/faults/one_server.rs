//! Faults of a single server.

use crate::shop::{PATIENCE, Shop, config, open, open_for, server, that_loads};
use hydra_api::{Causes, OpenErrorKind, Purpose, StoreErrorKind};
use hydra_conformance::servers::{Redis as Server, SilentLink};
use hydra_store_redis::Config;
use std::net::TcpListener;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const UNAVAILABLE: StoreErrorKind = StoreErrorKind::Unavailable;

pub(crate) async fn silent() {
    // The kernel accepts, and nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let opened = open(config(&[listener.local_addr().unwrap().port()]));
    let error = tokio::time::timeout(PATIENCE, opened).await.expect("opening takes no end").unwrap_err();
    assert!(Causes(&error).to_string().contains("time limit"), "{}", Causes(&error));
}

/// Opens through links that fall silent after more and more messages.
pub(crate) async fn frozen_start() {
    const MESSAGES_MAX: usize = 30;
    let server = server(&[]);
    let mut opens = JoinSet::new();
    for messages in 0..MESSAGES_MAX {
        let to = server.port();
        opens.spawn(async move {
            let link = SilentLink::start(to, messages).unwrap();
            let config = Config { prefix: format!("start{messages}"), ..config(&[link.port()]) };
            let opened = tokio::time::timeout(PATIENCE, open(config)).await.expect("opening takes no end");
            (messages, opened.map(drop))
        });
    }
    let (mut failed, mut opened) = (0, 0);
    while let Some(ended) = opens.join_next().await {
        let (messages, result) = ended.unwrap();
        match result {
            Ok(()) => opened += 1,
            Err(error) => {
                failed += 1;
                assert_eq!(error.kind(), &OpenErrorKind::Unavailable, "after {messages}: {}", Causes(&error));
            }
        }
    }
    assert!(failed >= 3 && opened >= 3, "{failed} of {MESSAGES_MAX} failed");
}

pub(crate) async fn frozen() {
    let server = server(&[]);
    let shop = Shop::of(config(&[server.port()])).await;
    shop.insert(0..50).await;
    server.signal("STOP").unwrap();
    for number in 0..20 {
        shop.fails(UNAVAILABLE).await;
        // Requests for other keys leave answers behind.
        assert_eq!(shop.look(number..number + 1).await, [None]);
    }
    let error = shop.try_read(0..1).await.unwrap_err();
    assert!(error.pause().is_some(), "it does not say when to try again: {error:?}");
    server.signal("CONT").unwrap();
    shop.recovers(50..60).await;
    for number in 0..60 {
        shop.has(number..number + 1).await;
    }
}

pub(crate) async fn paused() {
    let server = server(&[]);
    let shop = Shop::of(config(&[server.port()])).await;
    shop.insert(0..10).await;
    server.command(&["CLIENT", "PAUSE", "3000", "ALL"]).unwrap();
    shop.fails(UNAVAILABLE).await;
    shop.recovers(10..20).await;
    shop.has(0..20).await;
}

pub(crate) async fn killed() {
    let mut server = server(&["--appendonly", "yes", "--appendfsync", "always"]);
    let shop = Shop::of(config(&[server.port()])).await;
    shop.insert(0..500).await;
    server.kill().unwrap();
    shop.fails(UNAVAILABLE).await;
    server.launch().unwrap();
    // While it loads its data it is unavailable too.
    shop.recovers(500..510).await;
    shop.has(0..510).await;
    let other = Shop::of(config(&[server.port()])).await;
    other.has(0..510).await;
}

pub(crate) async fn closes_idle_connections() {
    let server = server(&["--timeout", "1"]);
    let shop = Shop::of(config(&[server.port()])).await;
    for round in 0..3 {
        shop.insert(10 * round..10 * round + 10).await;
        while server.command(&["CLIENT", "LIST"]).unwrap().contains("name=hydra") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    shop.has(0..30).await;
}

pub(crate) async fn flushed_scripts() {
    let server = server(&[]);
    let shop = Shop::of(config(&[server.port()])).await;
    shop.insert(0..10).await;
    server.command(&["SCRIPT", "FLUSH"]).unwrap();
    shop.insert(5..20).await;
    shop.has(0..20).await;
}

pub(crate) async fn demoted() {
    let (server, other) = (server(&[]), server(&[]));
    let shop = Shop::of(config(&[server.port()])).await;
    shop.insert(0..20).await;
    server.command(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]).unwrap();
    assert_eq!(shop.try_insert(20..40).await.unwrap_err().kind(), UNAVAILABLE);
    assert_eq!(shop.try_insert(20..40).await.unwrap_err().kind(), UNAVAILABLE);
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    shop.recovers(0..20).await;
}

pub(crate) async fn several_hosts() {
    let (mut one, other) = (server(&[]), server(&[]));
    let port = one.port().to_string();
    other.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    let shop = Shop::of(config(&[other.port(), one.port()])).await;
    shop.insert(0..20).await;
    // The replica has all.
    let (since, size) = (Instant::now(), |server: &Server| server.command(&["DBSIZE"]).unwrap());
    while size(&other) != size(&one) {
        assert!(since.elapsed() < PATIENCE, "it is not replicated");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    one.kill().unwrap();
    shop.fails(UNAVAILABLE).await;
    other.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    shop.recovers(20..40).await;
}

/// Its server dies before the replica has anything, which takes its place.
pub(crate) async fn empty_replica() {
    for _ in 0..8 {
        let (mut one, other) = (server(&[]), server(&[]));
        let port = one.port().to_string();
        other.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
        let shop = Shop::of(config(&[other.port(), one.port()])).await;
        shop.insert(0..20).await;
        one.kill().unwrap();
        shop.fails(UNAVAILABLE).await;
        other.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
        shop.recovers(20..40).await;
    }
}

pub(crate) async fn cannot_persist() {
    let server = server(&["--save", "3600", "1"]);
    let shop = Shop::of(Config { statement_timeout_ms: 5000, ..config(&[server.port()]) }).await;
    shop.insert(0..20).await;
    // The snapshot cannot take the place of a directory.
    std::fs::create_dir(server.home().join("dump.rdb")).unwrap();
    let info = || server.command(&["INFO", "persistence"]).unwrap();
    server.command(&["BGSAVE"]).unwrap();
    while !info().contains("rdb_last_bgsave_status:err") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = shop.try_insert(20..40).await.unwrap_err();
    assert_eq!(error.kind(), UNAVAILABLE);
    assert!(Causes(&error).to_string().contains("MISCONF"), "{}", Causes(&error));
    shop.has(0..20).await;
    std::fs::remove_dir(server.home().join("dump.rdb")).unwrap();
    server.command(&["BGSAVE"]).unwrap();
    shop.recovers(20..40).await;
}

/// A server that reads its data after a restart answers, but to no purpose.
pub(crate) async fn loading() {
    let (_server, shop) = that_loads(0..500, 1500).await;
    let (since, mut answers) = (Instant::now(), 0);
    loop {
        let Err(error) = shop.try_read(0..500).await else { break };
        assert_eq!(error.kind(), UNAVAILABLE, "{}", Causes(&error));
        answers += usize::from(Causes(&error).to_string().contains("LOADING"));
        assert!(since.elapsed() < PATIENCE, "{}", Causes(&error));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(answers > 10, "{answers} calls found it loading in {:?}", since.elapsed());
    shop.has(0..500).await;
    shop.insert(500..510).await;
}

/// A script of someone takes all the time of the server.
pub(crate) async fn busy() {
    let server = server(&["--lua-time-limit", "50"]);
    let shop = Shop::of(config(&[server.port()])).await;
    shop.insert(0..50).await;
    std::thread::scope(|scope| {
        // It ends with an error when the script is killed.
        let script = scope.spawn(|| server.command(&["EVAL", "while true do end", "0"]));
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let since = Instant::now();
                // What it is asked in the first moments waits for the script.
                while !shop
                    .try_read(0..1)
                    .await
                    .is_err_and(|error| Causes(&error).to_string().contains("BUSY"))
                {
                    assert!(since.elapsed() < PATIENCE, "it is not busy");
                }
                for _ in 0..20 {
                    shop.fails(StoreErrorKind::Overloaded).await;
                }
            });
        });
        server.command(&["SCRIPT", "KILL"]).unwrap();
        assert!(script.join().unwrap().is_err());
    });
    shop.recovers(50..60).await;
    shop.has(0..60).await;
}

/// To look at records where there are none is an error, and writes nothing.
pub(crate) async fn looked_at() {
    let server = server(&[]);
    let config = config(&[server.port()]);
    let keys = || server.command(&["KEYS", "*"]).unwrap();
    let error = open_for(Purpose::Use, config.clone()).await.unwrap_err();
    assert!(Causes(&error).to_string().contains("no records of the prefix `hydra`"), "{}", Causes(&error));
    assert_eq!(keys().trim(), "", "it has written");
    let shop = Shop::of(config.clone()).await;
    shop.insert(0..10).await;
    let look = open_for(Purpose::Use, config).await.unwrap();
    look.has(0..10).await;
    // Keys that go away meanwhile are the node's to begin again.
    server.command(&["FLUSHALL"]).unwrap();
    assert_eq!(look.0.estimate().await.unwrap().records, 0);
    assert_eq!(keys().trim(), "", "it has written");
    shop.recovers(0..10).await;
}

/// A server that comes back without its keys, and a node that starts afterwards, before or after the others see it.
pub(crate) async fn emptied() {
    let mut server = server(&[]);
    let config = config(&[server.port()]);
    let shop = Shop::of(config.clone()).await;
    shop.insert(0..10).await;
    server.kill().unwrap();
    server.launch().unwrap();
    shop.recovers(10..20).await;
    let other = Shop::of(config.clone()).await;
    other.has(10..20).await;
    server.kill().unwrap();
    server.launch().unwrap();
    // It begins anew.
    let first = Shop::of(config.clone()).await;
    for (shop, numbers) in [(&shop, 20..30), (&other, 30..40), (&first, 40..50)] {
        shop.recovers(numbers).await;
    }
    for shop in [&shop, &other, &first] {
        shop.has(20..50).await;
    }
    // The connections live on.
    server.command(&["FLUSHALL"]).unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    shop.insert(50..60).await;
    Shop::of(config).await.has(50..60).await;
}

/// A server that answers and stalls in turn, as one does whose load is near its limit.
pub(crate) async fn stalls_now_and_then(log: &std::path::Path) {
    let server = server(&[]);
    let shop = Shop::of(config(&[server.port()])).await;
    shop.insert(0..10).await;
    let (begun, mut rounds) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(20) {
        server.command(&["CLIENT", "PAUSE", "600", "ALL"]).unwrap();
        assert!(shop.try_read(0..10).await.is_err());
        shop.recovers(0..10).await;
        rounds += 1;
    }
    let log = std::fs::read_to_string(log).unwrap();
    let lines =
        log.lines().filter(|line| line.contains("does not answer") || line.contains("answers again")).count();
    assert!(lines <= 8, "{lines} lines in {:?}, {rounds} stalls", begun.elapsed());
}

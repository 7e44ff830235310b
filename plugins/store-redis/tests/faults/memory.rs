//! What is missing or has no room.

use crate::shop::{Shop, config, open, records, server, without_room};
use hydra_api::{OpenErrorKind, PurgeProgress, UnixSeconds};
use hydra_conformance::given::{LIFE, NOW};
use hydra_conformance::servers::Redis as Server;
use hydra_store_redis::{Config, Scripts};
use std::num::NonZeroU32;

/// Whatever the version takes for itself, it is more than this.
fn full_now(server: &Server) {
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
}

pub(crate) async fn full(scripts: Scripts) {
    let server = server(&[]);
    let shop = Shop::of(Config { scripts, ..config(&[server.port()]) }).await;
    shop.insert(0..200).await;
    full_now(&server);
    let inserted = shop.try_insert(200..300).await.unwrap();
    assert_eq!(without_room(&inserted), 100, "{inserted:?}");
    shop.has(0..200).await;
    let absent = shop.look(200..300).await;
    assert_eq!(absent, [Some(false); 100]);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    shop.insert(200..300).await;
    shop.has(0..300).await;
}

pub(crate) async fn full_is_purged() {
    let server = server(&[]);
    let shop = Shop::of(config(&[server.port()])).await;
    let mut batch = records(0..400);
    // Two records of each key, one of which expires.
    batch.extend(records(0..400).into_iter().zip(records(1..401)).map(|(mut record, other)| {
        (record.provider, record.expires) = (other.provider, UnixSeconds(NOW.0 + 10));
        record
    }));
    shop.0.insert(batch.into(), NOW).await.unwrap();
    full_now(&server);
    let (mut removed, limit) = (0, NonZeroU32::new(1000).unwrap());
    loop {
        let purged = shop.0.purge_expired(UnixSeconds(NOW.0 + 10), limit).await.unwrap();
        removed += purged.removed;
        match purged.progress {
            PurgeProgress::Done => break,
            PurgeProgress::More => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(removed, 400);
    assert_eq!(shop.0.estimate().await.unwrap().records, 400);
    shop.has(0..400).await;
}

pub(crate) async fn half_a_record() {
    let server = server(&[]);
    let shop = Shop::of(config(&[server.port()])).await;
    shop.insert(0..30).await;
    let script = "for _, name in ipairs(redis.call('KEYS', 'hydra:{*}p*')) do redis.call('DEL', name) end";
    server.command(&["EVAL", script, "0"]).unwrap();
    let other = Shop::of(config(&[server.port()])).await;
    assert_eq!(other.look(0..30).await, [Some(false); 30]);
    // The next announcement of a peer brings its other records back too.
    other.insert(0..3).await;
    other.has(0..30).await;
}

pub(crate) async fn removed_keys() {
    let server = server(&[]);
    let shop = Shop::of(config(&[server.port()])).await;
    shop.insert(0..30).await;
    server.command(&["FLUSHALL"]).unwrap();
    assert_eq!(shop.look(0..30).await, [Some(false); 30]);
    // Another node begins anew, and this one follows.
    let other = Shop::of(config(&[server.port()])).await;
    shop.0.estimate().await.unwrap();
    shop.insert(0..30).await;
    other.has(0..30).await;
    // Without another node this one writes what is missing.
    server.command(&["FLUSHALL"]).unwrap();
    other.0.estimate().await.unwrap();
    other.insert(0..30).await;
    Shop::of(config(&[server.port()])).await.has(0..30).await;
}

pub(crate) async fn changed_layout() {
    let server = server(&[]);
    let right = config(&[server.port()]);
    Shop::of(right.clone()).await.insert(0..10).await;
    let other = |key: &str| OpenErrorKind::Config { key: key.to_owned() };
    let opened = open(Config { buckets_log2: 11, ..right.clone() }).await;
    assert_eq!(opened.unwrap_err().kind(), &other("buckets_log2"));
    let opened = open(Config { scripts: Scripts::Off, ..right.clone() }).await;
    assert_eq!(opened.unwrap_err().kind(), &other("scripts"));
    // Another prefix has a layout of its own.
    Shop::of(Config { buckets_log2: 11, prefix: "other".to_owned(), ..right.clone() })
        .await
        .insert(0..10)
        .await;
    let shop = Shop::of(right).await;
    shop.has(0..10).await;
    assert!(shop.try_read_at(0..10, NOW.saturating_add(LIFE)).await.unwrap()[0].providers().is_empty());
}

//! Numbers of peers that a node remembers and the tables no longer have, or have given to another peer.

use crate::{Config, NOW, Server, Store, config, open, trial};
use hydra_api::{Addresses, Found, Inserted, Provider, ProviderRecord, PurgeProgress, UnixSeconds};
use hydra_conformance::given::{LIFE, addresses, batch, key, record};
use libtest_mimic::Trial;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

const DAY: u32 = 86_400;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_provider_that_returns_after_its_row_was_purged_is_found", &[], returns),
        trial("a_provider_whose_row_was_deleted_by_hand_is_found", &[], deleted),
        trial("a_number_that_a_backup_gave_to_another_peer_is_not_used", &[], restored),
        trial("a_row_outlives_records_also_after_a_backup_took_its_life_back", &[], shortened),
        trial("the_newest_addresses_count_at_whichever_node_they_were_announced", &[], moved),
        trial("a_purge_and_returning_providers_at_once_lose_nothing", &[], at_once),
    ]
}

fn after(days: u32) -> UnixSeconds {
    UnixSeconds(NOW.0 + days * DAY)
}

/// A record of a key and a provider, announced then.
fn announced(key: u64, provider: u64, now: UnixSeconds) -> ProviderRecord {
    ProviderRecord { expires: now.saturating_add(LIFE), ..record(key, provider) }
}

async fn insert(store: &Store, records: &[ProviderRecord], now: UnixSeconds) {
    assert_eq!(store.insert(batch(records), now).await.unwrap(), Inserted::All);
}

/// The providers of a key as a node has them that has just started.
async fn found(server: &Server, number: u64, now: UnixSeconds) -> Vec<Provider> {
    let store = open(config(server.port())).await.unwrap();
    let limit = NonZeroU32::new(100).unwrap();
    let found = store.providers([key(number)].as_slice().into(), now, limit).await.unwrap();
    store.close().await.unwrap();
    let Some(Found::Known(providers)) = found.into_iter().next() else { panic!("unknown") };
    providers
}

/// The one provider of a key is that of this record, with its addresses and its expiry.
async fn is_found(server: &Server, number: u64, record: &ProviderRecord, now: UnixSeconds) {
    let providers = found(server, number, now).await;
    let shown: Vec<_> = providers.iter().map(|one| (one.peer, one.expires, one.addresses.clone())).collect();
    assert_eq!(shown, [(record.provider, record.expires, record.addresses.clone())], "key {number}");
}

async fn purge(store: &Store, now: UnixSeconds) {
    let limit = NonZeroU32::new(10_000).unwrap();
    let since = Instant::now();
    while store.purge_expired(now, limit).await.unwrap().progress != PurgeProgress::Done {
        assert!(since.elapsed() < Duration::from_secs(60), "the purge takes no end");
    }
}

async fn returns(server: Server) {
    let store = open(config(server.port())).await.unwrap();
    insert(&store, &[announced(1, 7, NOW)], NOW).await;
    purge(&store, after(5)).await;
    assert_eq!(server.query("hydra", "SELECT count(*) FROM hydra.peers").unwrap(), ["0"]);
    let again = announced(1, 7, after(5));
    insert(&store, std::slice::from_ref(&again), after(5)).await;
    is_found(&server, 1, &again, after(5)).await;
}

async fn deleted(server: Server) {
    let store = open(config(server.port())).await.unwrap();
    insert(&store, &[announced(1, 7, NOW), announced(2, 8, NOW)], NOW).await;
    server.execute("hydra", "DELETE FROM hydra.peers").unwrap();
    // Nothing of the peer has changed, so that its row needs no write as far as this node knows.
    let silent = ProviderRecord { addresses: Addresses::none(), ..announced(4, 8, NOW) };
    insert(&store, &[announced(3, 7, NOW), silent.clone()], NOW).await;
    is_found(&server, 3, &announced(3, 7, NOW), NOW).await;
    is_found(&server, 4, &silent, NOW).await;
}

async fn restored(server: Server) {
    let [store, other] =
        [open(config(server.port())).await.unwrap(), open(config(server.port())).await.unwrap()];
    insert(&store, &[announced(1, 7, NOW)], NOW).await;
    // An empty backup: the numbers begin again.
    server.execute("hydra", "TRUNCATE hydra.peers, hydra.records RESTART IDENTITY").unwrap();
    insert(&other, &[announced(2, 8, NOW)], NOW).await;
    let moved = ProviderRecord { addresses: addresses(70), ..announced(3, 7, NOW) };
    insert(&store, &[announced(1, 7, NOW)], NOW).await;
    is_found(&server, 1, &announced(1, 7, NOW), NOW).await;
    insert(&store, std::slice::from_ref(&moved), NOW).await;
    is_found(&server, 3, &moved, NOW).await;
    is_found(&server, 2, &announced(2, 8, NOW), NOW).await;
}

async fn shortened(server: Server) {
    let store = open(config(server.port())).await.unwrap();
    insert(&store, &[announced(1, 7, NOW)], NOW).await;
    server.execute("hydra", &format!("UPDATE hydra.peers SET expires = expires - {}", 4 * DAY)).unwrap();
    insert(&store, &[announced(2, 7, NOW)], NOW).await;
    purge(&store, after(1)).await;
    is_found(&server, 2, &announced(2, 7, NOW), after(1)).await;
}

async fn moved(server: Server) {
    let [store, other] =
        [open(config(server.port())).await.unwrap(), open(config(server.port())).await.unwrap()];
    let from = |number, at| ProviderRecord { addresses: addresses(number), ..announced(at, 7, NOW) };
    insert(&store, &[from(1, 1)], NOW).await;
    insert(&other, &[from(2, 1)], NOW).await;
    insert(&store, &[from(1, 1)], NOW).await;
    is_found(&server, 1, &from(1, 1), NOW).await;
}

/// Two nodes take announcements of providers that return, while both try to purge them.
async fn at_once(server: Server) {
    const PROVIDERS: u64 = 200;
    let wide = || Config { connections_max: 4, ..config(server.port()) };
    let [one, other] = [open(wide()).await.unwrap(), open(wide()).await.unwrap()];
    let of = |now, first: u64| -> Vec<ProviderRecord> {
        (first..first + 20).map(|number| announced(number, number, now)).collect()
    };
    for first in (0..PROVIDERS).step_by(20) {
        insert(&one, &of(NOW, first), NOW).await;
        insert(&other, &of(NOW, first), NOW).await;
    }
    let mut now = NOW;
    for round in 1..=6 {
        now = after(5 * round);
        let purging = async {
            for _ in 0..20 {
                for store in [&one, &other] {
                    store.purge_expired(now, NonZeroU32::new(50).unwrap()).await.unwrap();
                }
            }
        };
        let writing = async {
            for first in (0..PROVIDERS).step_by(20) {
                let records = of(now, first);
                let (left, right) = records.split_at(if round % 2 == 0 { 5 } else { 15 });
                tokio::join!(taken(&one, left, now), taken(&other, right, now));
            }
        };
        tokio::join!(purging, writing);
    }
    purge(&one, now).await;
    for number in 0..PROVIDERS {
        is_found(&server, number, &announced(number, number, now), now).await;
    }
}

/// Inserts as the node does: what is not known to be taken is tried again.
async fn taken(store: &Store, records: &[ProviderRecord], now: UnixSeconds) {
    let since = Instant::now();
    while !store.insert(batch(records), now).await.is_ok_and(|inserted| inserted == Inserted::All) {
        assert!(since.elapsed() < Duration::from_secs(30), "never taken");
    }
}

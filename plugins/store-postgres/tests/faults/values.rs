//! Value records: a server that is killed, locks, and tables from before there were value records.

use crate::{Config, NOW, PATIENCE, Server, Store, config, has, insert, trial};
use hydra_api::{
    Causes, FoundValue, OpenError, Plugin, Purpose, PutOutcome, Scope, StoreError, StoreErrorKind, ValueKey,
    ValuePut, ValueRecord,
};
use hydra_conformance::given::LIFE;
use hydra_store_postgres::{Migrate, Postgres};
use libtest_mimic::Trial;
use std::num::NonZeroU32;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

const WRITERS: u8 = 4;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_put_that_a_killed_server_leaves_open_is_not_said_to_be_stored", &[], killed),
        trial("a_put_whose_record_is_deleted_meanwhile_is_no_success", &[], deleted),
        trial("a_put_does_not_wait_for_a_lock_for_long", &[], locked),
        trial("a_database_without_value_records_serves_providers_until_it_is_migrated", &[], older),
        trial("a_role_without_rights_on_value_records_serves_providers", &[], forbidden),
    ]
}

fn key(number: u8) -> ValueKey {
    ValueKey::new(&[b'/', b'p', b'k', b'/', number]).unwrap()
}

fn value(number: u64) -> Vec<u8> {
    [&number.to_be_bytes()[..], &[7; 300]].concat()
}

/// Puts the value of a number after that of the one before; 0 stands for nothing.
async fn put_after(store: &Store, key: ValueKey, before: u64) -> Result<PutOutcome, StoreError> {
    let seen = (before > 0).then(|| value(before).into());
    let record =
        ValueRecord { value: value(before + 1).into(), received: NOW, expires: NOW.saturating_add(LIFE) };
    let outcomes = store.values().unwrap().put_if([ValuePut { key, seen, record }].into(), NOW).await;
    outcomes.map(|mut outcomes| outcomes.pop().unwrap())
}

/// The number of the value of a key.
async fn number(store: &Store, key: ValueKey) -> Result<u64, StoreError> {
    let found = store.values().unwrap().get([key].into(), NOW).await?;
    match &found[..] {
        [FoundValue::Known(None)] => Ok(0),
        [FoundValue::Known(Some(record))] => {
            let (first, _) = record.value.split_first_chunk().unwrap();
            assert_eq!(record.value, value(u64::from_be_bytes(*first)));
            Ok(u64::from_be_bytes(*first))
        }
        found => panic!("{found:?}"),
    }
}

async fn opened_for(config: Config, purpose: Purpose) -> Result<Store, OpenError> {
    Postgres::open(config, &Scope::new(std::env::temp_dir()).with_purpose(purpose)).await
}

async fn opened(config: Config) -> Store {
    opened_for(config, Purpose::Serve).await.unwrap_or_else(|error| panic!("{}", Causes(&error)))
}

async fn killed(mut server: Server) {
    let store = opened(config(server.port())).await;
    let mut numbers = [0; WRITERS as usize];
    for _ in 0..4 {
        let mut writers = JoinSet::new();
        for (writer, mut last) in (0..WRITERS).zip(numbers) {
            let store = Arc::clone(&store);
            writers.spawn(async move {
                loop {
                    match put_after(&store, key(writer), last).await {
                        Ok(PutOutcome::Stored) => last += 1,
                        Ok(PutOutcome::Unknown(_)) | Err(_) => return (writer, last),
                        Ok(other) => panic!("a put after {last} is {other:?}"),
                    }
                }
            });
        }
        sleep(Duration::from_millis(200)).await;
        server.signal_all("KILL").unwrap();
        server.stop();
        let ended = writers.join_all().await;
        server.launch().unwrap();
        for (writer, last) in ended {
            let since = Instant::now();
            let found = loop {
                match number(&store, key(writer)).await {
                    Ok(found) => break found,
                    Err(error) => assert!(since.elapsed() < PATIENCE, "{}", Causes(&error)),
                }
                sleep(Duration::from_millis(100)).await;
            };
            assert!(last > 0, "nothing was put before the server was killed");
            assert!((last..=last + 1).contains(&found), "{last} is stored, and {found} is there");
            numbers[usize::from(writer)] = found;
        }
    }
}

/// Does `what` while a session has done `held` in a transaction that it commits after a second.
async fn beside(server: &Server, held: &str, what: impl Future<Output = ()>) {
    let hold = format!("BEGIN; {held}; SELECT pg_sleep(0.8); COMMIT");
    let mut psql = server.psql("hydra", "hydra");
    let mut session = psql.args(["-c", &hold]).stdout(Stdio::null()).spawn().unwrap();
    let is_asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    while server.query("hydra", is_asleep).unwrap().is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    what.await;
    assert!(session.wait().unwrap().success());
}

async fn deleted(server: Server) {
    let store = opened(Config { statement_timeout_ms: 5000, ..config(server.port()) }).await;
    assert_eq!(put_after(&store, key(1), 0).await.unwrap(), PutOutcome::Stored);
    beside(&server, "DELETE FROM hydra.value_records", async {
        // It sees the record, and waits for the one who deletes it.
        assert_eq!(put_after(&store, key(1), 1).await.unwrap(), PutOutcome::Changed);
    })
    .await;
    assert_eq!(number(&store, key(1)).await.unwrap(), 0);
    // What is left behind is nothing, and goes with the next purge.
    store.values().unwrap().purge_values(NOW, NonZeroU32::MAX).await.unwrap();
    assert_eq!(server.query("hydra", "SELECT count(*) FROM hydra.value_records").unwrap(), ["0"]);
    assert_eq!(put_after(&store, key(1), 0).await.unwrap(), PutOutcome::Stored);
    // A rival's record that the snapshot has not is what is compared with.
    let rival = "UPDATE hydra.value_records SET value = '\\x07'";
    beside(&server, rival, async {
        assert_eq!(put_after(&store, key(1), 1).await.unwrap(), PutOutcome::Changed);
    })
    .await;
}

async fn locked(server: Server) {
    let store = opened(Config { statement_timeout_ms: 300, ..config(server.port()) }).await;
    assert_eq!(put_after(&store, key(1), 0).await.unwrap(), PutOutcome::Stored);
    beside(&server, "SELECT 1 FROM hydra.value_records FOR UPDATE", async {
        let failed = put_after(&store, key(1), 1).await.unwrap_err();
        assert_eq!(failed.kind(), StoreErrorKind::Overloaded);
        // A put that has seen something else waits for nothing, and a purge for no lock.
        assert_eq!(put_after(&store, key(1), 7).await.unwrap(), PutOutcome::Changed);
        let late = NOW.saturating_add(2 * LIFE);
        assert_eq!(store.values().unwrap().purge_values(late, NonZeroU32::MAX).await.unwrap().removed, 0);
    })
    .await;
    assert_eq!(put_after(&store, key(1), 1).await.unwrap(), PutOutcome::Stored);
}

async fn serves_providers_alone(store: &Store, number: u64) {
    assert!(store.values().is_none());
    insert(store, number).await.unwrap();
    assert!(has(store, number).await.unwrap());
}

async fn older(server: Server) {
    let with = |migrate| Config { migrate, ..config(server.port()) };
    let store = opened(with(Migrate::Auto)).await;
    assert_eq!(put_after(&store, key(1), 0).await.unwrap(), PutOutcome::Stored);
    store.close().await.unwrap();
    // As a program left it that knew of no value records.
    let drop_table = || server.execute("hydra", "DROP TABLE hydra.value_records").unwrap();
    drop_table();
    let off = opened(with(Migrate::Off)).await;
    serves_providers_alone(&off, 1).await;
    let check = opened(with(Migrate::Check)).await;
    serves_providers_alone(&check, 2).await;
    let looked = opened_for(with(Migrate::Check), Purpose::Check).await.unwrap();
    assert!(looked.remarks()[0].contains("run `hydra store migrate`"), "{:?}", looked.remarks());
    let looked = opened_for(with(Migrate::Auto), Purpose::Check).await.unwrap();
    assert!(looked.values().is_none() && looked.remarks().is_empty(), "a start makes it");

    let migrated = opened_for(with(Migrate::Check), Purpose::Migrate).await.unwrap();
    assert!(migrated.values().is_some() && migrated.remarks().is_empty());
    // Nodes that run take it up.
    for store in [&off, &check] {
        store.estimate().await.unwrap();
        assert_eq!(number(store, key(1)).await.unwrap(), 0);
    }
    assert_eq!(put_after(&check, key(1), 0).await.unwrap(), PutOutcome::Stored);
    assert_eq!(number(&off, key(1)).await.unwrap(), 1);

    drop_table();
    let auto = opened(with(Migrate::Auto)).await;
    assert_eq!(put_after(&auto, key(1), 0).await.unwrap(), PutOutcome::Stored);
    assert_eq!(server.query("hydra", "SELECT max(version) FROM hydra.hydra").unwrap(), ["1"]);
}

async fn forbidden(server: Server) {
    opened(config(server.port())).await.close().await.unwrap();
    for statement in [
        "CREATE ROLE app LOGIN",
        "GRANT USAGE ON SCHEMA hydra TO app",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON hydra.hydra, hydra.records, hydra.peers, hydra.chores TO app",
    ] {
        server.execute("hydra", statement).unwrap();
    }
    let of_app = |migrate| Config { user: "app".to_owned(), migrate, ..config(server.port()) };
    let store = opened(of_app(Migrate::Check)).await;
    serves_providers_alone(&store, 1).await;
    assert!(store.remarks()[0].contains("the role needs"), "{:?}", store.remarks());
    server.execute("hydra", "GRANT SELECT, INSERT, UPDATE, DELETE ON hydra.value_records TO app").unwrap();
    store.estimate().await.unwrap();
    assert_eq!(put_after(&store, key(1), 0).await.unwrap(), PutOutcome::Stored);
    // It may not create the table.
    server.execute("hydra", "DROP TABLE hydra.value_records").unwrap();
    serves_providers_alone(&opened(of_app(Migrate::Auto)).await, 2).await;
    assert!(opened_for(of_app(Migrate::Auto), Purpose::Migrate).await.is_err());
}

//! What the store publishes of a server that ends sessions, falls silent, is killed or holds dead rows.

use crate::{Config, NOW, PATIENCE, Server, Store, config, has, insert, is_back, open, trial};
use hydra_api::{Deletion, PutOutcome, StoreErrorKind, UnixSeconds, ValueKey, ValuePut, ValueRecord};
use hydra_conformance::given::{key, record};
use libtest_mimic::Trial;
use std::num::NonZeroU32;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::time::sleep;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("statements_are_measured_by_operation", &[], measured),
        trial("a_session_that_is_ended_is_an_error_of_class_57_and_is_replaced", &[], ended),
        trial("a_lock_that_is_not_free_is_an_error_of_class_55", &[], locked),
        trial("a_server_that_falls_silent_is_a_timeout", &[], silent),
        trial("a_server_that_is_killed_is_connected_to_again", &[], killed),
        trial("a_statement_whose_caller_gives_up_is_counted", &[], given_up),
        trial("each_statement_is_counted_once", &["log_statement=all"], counted),
        trial("a_store_that_is_closed_uses_no_connection", &[], closed),
        trial("dead_rows_and_sizes_are_those_of_the_catalogue", &["autovacuum=off"], catalogue),
    ]
}

pub(crate) fn figure(store: &Store, name: &str, labels: &[(&str, &str)]) -> f64 {
    hydra_conformance::published::figure(&**store, name, labels)
}

pub(crate) fn errors(store: &Store, class: &str) -> f64 {
    figure(store, "db_client_errors_total", &[("error_type", class)])
}

fn connects(store: &Store, cause: &str) -> f64 {
    figure(store, "db_client_connects_total", &[("cause", cause)])
}

/// A store whose connections are all open.
async fn opened(server: &Server) -> Store {
    opened_with(config(server.port())).await
}

pub(crate) async fn opened_with(config: Config) -> Store {
    let store = open(config).await.unwrap();
    insert(&store, 1).await.unwrap();
    until(|| figure(&store, "db_client_connections", &[]) == 4.0).await;
    store
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "not within {PATIENCE:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn statements(store: &Store, operation: &str) -> f64 {
    figure(store, "db_client_operation_duration_seconds", &[("db_operation_name", operation)])
}

async fn measured(server: Server) {
    let store = opened(&server).await;
    let statements = |operation| statements(&store, operation);
    let rows = |operation| figure(&store, "db_client_operation_rows", &[("db_operation_name", operation)]);
    let (inserts, reads) = (statements("insert"), statements("providers"));
    assert!(inserts >= 2.0, "the peer and the record: {inserts}");
    assert!(has(&store, 1).await.unwrap());
    assert!(statements("providers") > reads);
    assert_eq!(statements("insert"), inserts);
    assert!(rows("providers") >= 1.0 && rows("insert") >= 2.0);
    assert_eq!(figure(&store, "db_client_connections", &[("db_client_connection_state", "idle")]), 4.0);
    assert_eq!(figure(&store, "db_client_connections_max", &[]), 4.0);
    assert_eq!(figure(&store, "db_client_connects_total", &[]), connects(&store, "start"));
    assert_eq!(figure(&store, "db_client_errors_total", &[]), 0.0);
}

const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hydra'";

/// Lets a read wait for a lock, and does something meanwhile.
async fn while_it_waits(
    server: &Server,
    store: &Store,
    what: impl FnOnce() + Send,
) -> Option<StoreErrorKind> {
    let hold = "BEGIN; LOCK TABLE hydra.records IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3); COMMIT";
    std::thread::scope(|scope| {
        scope.spawn(|| server.execute("hydra", hold).unwrap());
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                sleep(Duration::from_millis(500)).await;
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(300));
                    what();
                });
                has(store, 1).await.err().map(|error| error.kind())
            })
        })
    })
}

async fn ended(server: Server) {
    let store = opened(&server).await;
    let failed = while_it_waits(&server, &store, || drop(server.query("hydra", END).unwrap())).await;
    assert_eq!(failed, Some(StoreErrorKind::Unavailable));
    assert!(errors(&store, "57") >= 1.0);
    is_back(&store, 2).await;
    until(|| figure(&store, "db_client_connections", &[]) == 4.0).await;
    assert!(connects(&store, "ended") >= 1.0);
    assert_eq!(connects(&store, "start"), 4.0);
    assert_eq!(connects(&store, "timeout") + connects(&store, "read_only"), 0.0);
}

async fn locked(server: Server) {
    // A lock has one second; then the limit of the statement is not what ends it.
    let config = Config { statement_timeout_ms: 3000, ..config(server.port()) };
    let store = opened_with(config).await;
    let failed = while_it_waits(&server, &store, || ()).await;
    assert_eq!(failed, Some(StoreErrorKind::Overloaded));
    assert_eq!(errors(&store, "55"), 1.0);
    assert_eq!(figure(&store, "db_client_connects_total", &[]), 4.0, "the connection is kept");
}

async fn silent(server: Server) {
    let store = opened(&server).await;
    server.signal_all("STOP").unwrap();
    assert!(has(&store, 1).await.is_err());
    assert_eq!(errors(&store, "timeout"), 1.0);
    server.signal_all("CONT").unwrap();
    is_back(&store, 2).await;
    until(|| connects(&store, "timeout") >= 1.0).await;
}

async fn killed(mut server: Server) {
    let store = opened(&server).await;
    server.signal_all("KILL").unwrap();
    server.stop();
    while has(&store, 1).await.is_ok() {}
    until(|| figure(&store, "db_client_connect_failures_total", &[("error_type", "io")]) >= 1.0).await;
    while figure(&store, "db_client_connections", &[]) > 0.0 {
        drop(has(&store, 1).await);
    }
    assert!(errors(&store, "io") + errors(&store, "57") >= 1.0);
    server.launch().unwrap();
    is_back(&store, 2).await;
    until(|| connects(&store, "lost") + connects(&store, "ended") == 4.0).await;
    assert_eq!(connects(&store, "start"), 4.0);
}

async fn given_up(server: Server) {
    let store = opened(&server).await;
    assert!(has(&store, 1).await.unwrap());
    let before = statements(&store, "providers");
    let mut lock = server.psql("hydra", "hydra");
    let hold = "BEGIN; LOCK TABLE hydra.records IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600); COMMIT";
    let mut lock = lock.args(["-c", hold]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let held = "SELECT 1 FROM pg_locks WHERE relation = 'hydra.records'::regclass AND mode = 'AccessExclusiveLock' AND granted";
    until(|| !server.query("hydra", held).unwrap().is_empty()).await;
    // It waits for the lock: nothing answers it meanwhile.
    assert!(tokio::time::timeout(Duration::from_millis(200), has(&store, 1)).await.is_err());
    assert_eq!(statements(&store, "providers"), before + 1.0);
    assert_eq!((errors(&store, "dropped"), figure(&store, "db_client_errors_total", &[])), (1.0, 1.0));
    server
        .execute("hydra", "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        .unwrap();
    lock.wait().unwrap();
}

async fn counted(server: Server) {
    // Without the statements of the start. One connection: no other is opened meanwhile.
    let store = open(Config { connections_max: 1, ..config(server.port()) }).await.unwrap();
    insert(&store, 1).await.unwrap();
    let logged = || {
        let log = std::fs::read_to_string(server.home().join("log")).unwrap();
        log.matches("LOG:  execute ").count() + log.matches("LOG:  statement: ").count()
    };
    let limit = NonZeroU32::new(100).unwrap();
    let values = store.values().unwrap();
    let value = ValueKey::new(b"/pk/peer").unwrap();
    for operation in [
        "insert",
        "providers",
        "estimate",
        "purge_expired",
        "delete",
        "scan",
        "get",
        "put_if",
        "purge_values",
        "estimate_values",
        "delete_values",
    ] {
        let before = (logged(), statements(&store, operation));
        match operation {
            "insert" => drop(insert(&store, 2).await.unwrap()),
            "providers" => assert!(has(&store, 2).await.unwrap()),
            "estimate" => drop(store.estimate().await.unwrap()),
            "purge_expired" => drop(store.purge_expired(NOW, limit).await.unwrap()),
            "delete" => drop(store.delete(Deletion::Key(key(2)), limit).await.unwrap()),
            "scan" => drop(store.scan(None, NOW, limit).await.unwrap()),
            "get" => drop(values.get([value].into(), NOW).await.unwrap()),
            "put_if" => {
                let record = ValueRecord {
                    value: b"value".as_slice().into(),
                    received: NOW,
                    expires: UnixSeconds(u32::MAX),
                };
                let put = ValuePut { key: value, seen: None, record };
                assert_eq!(values.put_if([put].into(), NOW).await.unwrap(), [PutOutcome::Stored]);
            }
            "purge_values" => drop(values.purge_values(NOW, limit).await.unwrap()),
            "estimate_values" => drop(values.estimate_values().await.unwrap()),
            _ => assert_eq!(values.delete_values([value].into()).await.unwrap(), 1),
        }
        let (logged, counted) = (logged() - before.0, statements(&store, operation) - before.1);
        assert!(logged > 0, "{operation}");
        assert_eq!(counted, logged as f64, "{operation}");
    }
    assert!((0.5..=1.5).contains(&(store.estimate().await.unwrap().records as f64)));
}

async fn closed(server: Server) {
    let store = opened(&server).await;
    store.close().await.unwrap();
    assert_eq!(figure(&store, "db_client_connections", &[]), 0.0);
}

async fn catalogue(server: Server) {
    let store = opened(&server).await;
    assert_eq!(figure(&store, "db_table_rows", &[]), 0.0, "nothing is known before the first estimate");
    let records: Vec<_> = (0..500).map(|number| record(number, number % 7)).collect();
    store.insert(records.into(), NOW).await.unwrap();
    for number in 0..200 {
        store.delete(Deletion::Key(key(number)), NonZeroU32::MAX).await.unwrap();
    }
    let rows =
        |state| figure(&store, "db_table_rows", &[("db_collection_name", "records"), ("state", state)]);
    // A session reports what it has done now and then.
    let since = Instant::now();
    while rows("dead") != 200.0 || rows("live") != 300.0 {
        assert!(since.elapsed() < PATIENCE, "{} live and {} dead", rows("live"), rows("dead"));
        sleep(Duration::from_millis(200)).await;
        store.estimate().await.unwrap();
    }
    let size = |part| figure(&store, "db_table_bytes", &[("db_collection_name", "records"), ("part", part)]);
    let of_server = |size: &str| -> f64 {
        server.query("hydra", &format!("SELECT {size}('hydra.records')")).unwrap()[0].parse().unwrap()
    };
    assert_eq!((size("rows"), size("indexes")), (of_server("pg_table_size"), of_server("pg_indexes_size")));
    assert!(figure(&store, "db_tables_age_seconds", &[]) < PATIENCE.as_secs_f64());
    assert_eq!(figure(&store, "db_table_vacuum_age_seconds", &[]), 0.0, "there was none");
    server.execute("hydra", "VACUUM hydra.records").unwrap();
    let since = Instant::now();
    while rows("dead") > 0.0 {
        assert!(since.elapsed() < PATIENCE, "{} dead", rows("dead"));
        sleep(Duration::from_millis(200)).await;
        store.estimate().await.unwrap();
    }
    assert!(figure(&store, "db_table_vacuum_age_seconds", &[]) > 0.0);
}

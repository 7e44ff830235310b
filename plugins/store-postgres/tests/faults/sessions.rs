//! Errors that a session outlives, and those that it does not.

use crate::figures::{errors, figure, opened_with};
use crate::{Config, Server, config, has, insert, is_back, open, trial};
use hydra_api::{Causes, StoreErrorKind};
use hydra_store_postgres::Prepared;
use libtest_mimic::Trial;
use std::io::Write;
use std::time::Duration;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_damaged_page_costs_no_connection", &[], damaged),
        trial("the_error_of_a_statement_is_told_although_the_rollback_fails", &[], lost),
    ]
}

async fn damaged(mut server: Server) {
    drop(opened_with(config(server.port())).await);
    let files = "SELECT pg_relation_filepath(oid) FROM pg_class WHERE relnamespace = 'hydra'::regnamespace AND relkind = 'i' \
                 AND oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'hydra.records'::regclass)";
    let files = server.query("hydra", files).unwrap();
    server.stop();
    assert!(!files.is_empty());
    for file in files {
        let path = server.home().join("data").join(file);
        std::fs::File::options().write(true).open(path).unwrap().write_all(&[0xa5; 512]).unwrap();
    }
    server.launch().unwrap();
    let store = open(config(server.port())).await.unwrap();
    while figure(&store, "db_client_connections", &[]) < 4.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..20 {
        let failed = has(&store, 1).await.unwrap_err();
        assert_eq!(failed.kind(), StoreErrorKind::Corrupt, "{}", Causes(&failed));
    }
    assert_eq!(errors(&store, "XX"), 20.0);
    assert_eq!(figure(&store, "db_client_connections", &[]), 4.0);
    assert_eq!(figure(&store, "db_client_connects_total", &[]), 4.0);
}

/// The server ends the session right after it has reported the error of the statement.
async fn lost(server: Server) {
    let store = opened_with(Config { prepared: Prepared::Off, ..config(server.port()) }).await;
    for statement in [
        "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN PERFORM 1 / CASE WHEN pg_terminate_backend(pg_backend_pid()) THEN 0 END; RETURN NEW; END'",
        "CREATE TRIGGER fails BEFORE INSERT ON hydra.records FOR EACH ROW EXECUTE FUNCTION fails()",
    ] {
        server.execute("hydra", statement).unwrap();
    }
    let failed = insert(&store, 2).await.unwrap_err();
    let told = Causes(&failed).to_string();
    assert_eq!(failed.kind(), StoreErrorKind::Refused, "{told}");
    assert!(told.contains("22012"), "{told}");
    assert_eq!((errors(&store, "22"), errors(&store, "57"), errors(&store, "io")), (1.0, 0.0, 0.0));
    server.execute("hydra", "DROP TRIGGER fails ON hydra.records").unwrap();
    is_back(&store, 3).await;
    assert_eq!(figure(&store, "db_client_connects_total", &[]), 5.0, "the session was replaced");
}

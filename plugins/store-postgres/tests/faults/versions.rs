//! What servers of some versions alone do.

use crate::{Config, PATIENCE, Server, config, has, insert, open};
use hydra_api::StoreErrorKind;
use libtest_mimic::{Completion, Trial};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        since(16, "connections_that_the_server_reserves_are_no_room_for_the_node", || {
            let server = Server::start(&["max_connections=10", "reserved_connections=2"])?;
            let log = tempfile::NamedTempFile::new()?;
            let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Arc::new(log.reopen()?));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let _guard = tracing::subscriber::set_default(subscriber.finish());
            let config = Config { connections_max: 8, ..config(server.port()) };
            drop(runtime.block_on(open(config))?);
            // Three more are for superusers.
            let log = std::fs::read_to_string(log.path())?;
            let expected = "the server has room for 5 connections";
            if log.contains(expected) { Ok(()) } else { Err(format!("not said: {expected}\n{log}").into()) }
        }),
        since(17, "a_transaction_that_the_server_ends_costs_one_call", || {
            let server = Server::start(&[])?;
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(ended(server));
            Ok(())
        }),
    ]
}

/// A case for servers of this version and later ones.
fn since(version: u32, name: &str, case: fn() -> Result<(), libtest_mimic::Failed>) -> Trial {
    Trial::ignorable_test(name, move || {
        let programs = Server::installed().ok_or("PostgreSQL is not installed")?;
        if Server::version(&programs).ok_or("the server does not tell its version")? < version {
            return Ok(Completion::ignored_with(format!("it needs PostgreSQL {version}")));
        }
        case().map(|()| Completion::Completed)
    })
}

/// `transaction_timeout` ends the whole session, unlike the limits of a statement.
async fn ended(server: Server) {
    let execute = |statement: &str| server.execute("hydra", statement).unwrap();
    execute("CREATE ROLE app LOGIN; GRANT ALL ON DATABASE hydra TO app");
    execute("ALTER ROLE app SET transaction_timeout = '300ms'");
    let store = open(Config { user: "app".to_owned(), ..config(server.port()) }).await.unwrap();
    insert(&store, 1).await.unwrap();
    let since = Instant::now();
    while store.profile().concurrency_max.get() < 4 {
        assert!(since.elapsed() < PATIENCE, "the connections are not opened");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let hold = "BEGIN; LOCK TABLE hydra.records IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(2); COMMIT";
    std::thread::scope(|scope| {
        scope.spawn(|| execute(hold));
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                tokio::time::sleep(Duration::from_millis(500)).await;
                let refused = has(&store, 1).await.unwrap_err();
                assert_eq!(refused.kind(), StoreErrorKind::Overloaded, "{refused:?}");
            });
        });
    });
    // The session is gone, and no call meets it again.
    for _ in 0..10 {
        assert!(has(&store, 1).await.unwrap());
    }
}

//! A server that freezes while the store opens.

use crate::{Config, Server, config, trial};
use hydra_api::{Causes, OpenError, OpenErrorKind, Plugin, Purpose, Scope};
use hydra_conformance::servers::SilentLink;
use hydra_store_postgres::Postgres;
use libtest_mimic::Trial;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// More messages than an open sends.
const MESSAGES_MAX: usize = 90;
/// Opens at a time, so that a busy machine does not use up their time limits.
const OPENS: usize = 8;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_server_that_freezes_at_any_step_of_the_start_ends_it_in_time",
            &["max_connections=400"],
            start,
        ),
        trial(
            "a_server_that_freezes_at_any_step_of_a_check_ends_it_in_time",
            &["max_connections=400"],
            check,
        ),
        trial("a_table_that_is_lost_is_named", &[], lost),
    ]
}

async fn lost(server: Server) {
    for table in ["records", "peers", "chores"] {
        open(config(server.port()), Purpose::Serve).await.unwrap();
        server.execute("hydra", &format!("DROP TABLE hydra.{table}")).unwrap();
        for purpose in [Purpose::Serve, Purpose::Check, Purpose::Migrate] {
            let error = open(config(server.port()), purpose).await.unwrap_err();
            assert_eq!(*error.kind(), OpenErrorKind::Unavailable);
            let causes = Causes(&error).to_string();
            assert!(causes.contains(&format!("has lost its table `{table}`")), "{purpose:?}: {causes}");
        }
        server.execute("hydra", "DROP SCHEMA hydra CASCADE").unwrap();
    }
}

async fn start(server: Server) {
    frozen(server, Purpose::Serve).await;
}

async fn check(server: Server) {
    frozen(server, Purpose::Check).await;
}

/// Opens through links that fall silent after more and more messages.
async fn frozen(server: Server, purpose: Purpose) {
    let port = server.port();
    let (mut opens, turns) = (JoinSet::new(), Arc::new(Semaphore::new(OPENS)));
    for messages in 0..MESSAGES_MAX {
        // A migration takes a lock of its database.
        server.execute("postgres", &format!("CREATE DATABASE start_{messages}")).unwrap();
    }
    for messages in 0..MESSAGES_MAX {
        let turns = Arc::clone(&turns);
        opens.spawn(async move {
            let _turn = turns.acquire().await;
            let link = SilentLink::start(port, messages).unwrap();
            let config = Config { database: format!("start_{messages}"), ..config(link.port()) };
            let opened = tokio::time::timeout(Duration::from_secs(90), open(config, purpose)).await;
            (messages, opened.expect("it takes no end"))
        });
    }
    let (mut failed, mut opened) = (0, 0);
    while let Some(ended) = opens.join_next().await {
        let (messages, result) = ended.unwrap();
        match result {
            Ok(()) => opened += 1,
            Err(error) => {
                failed += 1;
                let shown = format!("{error}: {}", Causes(&error));
                assert_eq!(error.kind(), &OpenErrorKind::Unavailable, "after {messages} messages: {shown}");
                assert!(shown.contains("timed out"), "after {messages} messages: {shown}");
            }
        }
    }
    assert!(failed >= 5 && opened >= 5, "{failed} of {MESSAGES_MAX} failed");
}

async fn open(config: Config, purpose: Purpose) -> Result<(), OpenError> {
    Postgres::open(config, &Scope::new(std::env::temp_dir()).with_purpose(purpose)).await.map(drop)
}

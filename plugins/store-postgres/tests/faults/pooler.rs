//! A pooler in transaction mode: its connections are others' at the next moment.

use crate::{Config, Server, config, has, insert, open};
use hydra_api::{Causes, StoreErrorKind};
use hydra_conformance::servers::{PgBouncer, required};
use hydra_store_postgres::Prepared;
use libtest_mimic::{Completion, Trial};
use std::io::Write as _;
use std::process::{Child, Stdio};
use std::time::Duration;

pub(crate) fn trials() -> Vec<Trial> {
    let is_absent = PgBouncer::installed().is_none() && !required();
    let detected = Trial::test("a_pooler_is_detected_beside_its_other_clients", || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(detected());
        Ok(())
    });
    let limits = [
        ("limits_hold_through_a_pooler_and_stay_with_their_statement", Prepared::Auto),
        ("limits_of_prepared_statements_hold_through_a_pooler_and_stay_with_them", Prepared::On),
    ]
    .map(|(name, prepared)| {
        Trial::ignorable_test(name, move || {
            if prepared == Prepared::On && !PgBouncer::prepares() {
                return Ok(Completion::ignored_with("pgbouncer before 1.21 knows no prepared statements"));
            }
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(limits(prepared));
            Ok(Completion::Completed)
        })
    });
    let trials = limits.into_iter().chain([detected]);
    trials.map(|trial| trial.with_ignored_flag(is_absent)).collect()
}

/// Clients that take and leave the connections of the server all the time.
const OTHERS: usize = 6;
/// Each is opened anew, at another moment of the others.
const STORES: usize = 24;

async fn detected() {
    let server = Server::start(&[]).unwrap();
    let pooler = PgBouncer::start(&server, 3).unwrap();
    let config = Config { synchronous_commit: false, ..config(pooler.port()) };
    open(config.clone()).await.unwrap().close().await.unwrap();
    let mut others: Vec<_> = (0..OTHERS).map(|_| Other::start(&server, pooler.port())).collect();
    for nth in 0..STORES {
        let store = open(config.clone()).await.unwrap();
        for number in 0..20 {
            has(&store, number).await.unwrap_or_else(|error| panic!("{nth}: {}", Causes(&error)));
        }
        store.close().await.unwrap();
    }
    assert!(others.iter_mut().all(|other| other.0.try_wait().unwrap().is_none()), "none of them has ended");
}

/// A client that asks one statement after the other.
struct Other(Child);

impl Other {
    fn start(server: &Server, port: u16) -> Self {
        let mut psql = server.psql("hydra", "hydra");
        psql.args(["-p", &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut other = psql.spawn().unwrap();
        other.stdin.as_mut().unwrap().write_all(b"SELECT 1 \\watch 0.001\n").unwrap();
        Self(other)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

async fn limits(prepared: Prepared) {
    let server = Server::start(&[]).unwrap();
    // One connection of the server for all, so that a setting that is left behind is met.
    let pooler = PgBouncer::start(&server, 1).unwrap();
    let config = Config { prepared, synchronous_commit: false, ..config(pooler.port()) };
    let store = open(config).await.unwrap();
    insert(&store, 1).await.unwrap();
    for name in ["statement_timeout", "lock_timeout", "synchronous_commit"] {
        let mut psql = server.psql("hydra", "hydra");
        psql.args(["-p", &pooler.port().to_string(), "-A", "-t", "-c", &format!("SHOW {name}")]);
        let said = psql.output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        let default = if name == "synchronous_commit" { "on" } else { "0" };
        assert_eq!(said, default, "{name}");
    }
    let hold = "BEGIN; LOCK TABLE hydra.records IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3); COMMIT";
    std::thread::scope(|scope| {
        scope.spawn(|| server.execute("hydra", hold).unwrap());
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                tokio::time::sleep(Duration::from_millis(500)).await;
                assert_eq!(has(&store, 1).await.unwrap_err().kind(), StoreErrorKind::Overloaded);
            });
        });
    });
    assert!(has(&store, 1).await.unwrap());
}

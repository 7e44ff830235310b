//! Several hosts, and hosts that are none.

use crate::{Config, PATIENCE, Server, config, has, insert, is_back, open, trial};
use hydra_api::Causes;
use libtest_mimic::Trial;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("the_first_host_that_fits_is_used", &[], several),
        trial("a_server_that_stops_taking_writes_is_left_for_one_that_does", &[], moved),
        trial("a_host_that_accepts_and_is_silent_fails_in_time", &[], silent),
        Trial::test("hosts_that_fail_differently_are_logged_once_each", || {
            let (server, log) = (Server::start(&[])?, tempfile::NamedTempFile::new()?);
            let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Arc::new(log.reopen()?));
            // The store's tasks run on this thread.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let _guard = tracing::subscriber::set_default(subscriber.finish());
            runtime.block_on(differently(server, log.path()));
            Ok(())
        }),
    ]
}

fn at(ports: &[u16]) -> Config {
    Config { hosts: ports.iter().map(|port| format!("127.0.0.1:{port}")).collect(), ..config(0) }
}

async fn several(server: Server) {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let standby = Server::start(&["default_transaction_read_only=off"]).unwrap();
    standby.execute("hydra", "ALTER DATABASE hydra SET default_transaction_read_only = on").unwrap();
    let store = open(at(&[closed, standby.port(), server.port()])).await.unwrap();
    insert(&store, 1).await.unwrap();
    assert_eq!(server.query("hydra", "SELECT count(*) FROM hydra.records").unwrap(), ["1"]);
    let refused = open(at(&[closed, standby.port()])).await.unwrap_err();
    assert!(Causes(&refused).to_string().contains("the server is read-only"), "{}", Causes(&refused));
}

async fn moved(server: Server) {
    let other = Server::start(&[]).unwrap();
    drop(open(at(&[other.port()])).await.unwrap());
    let store = open(at(&[server.port(), other.port()])).await.unwrap();
    insert(&store, 1).await.unwrap();
    server.execute("hydra", "ALTER DATABASE hydra SET default_transaction_read_only = on").unwrap();
    server
        .execute(
            "hydra",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hydra'",
        )
        .unwrap();
    is_back(&store, 2).await;
    assert_eq!(other.query("hydra", "SELECT count(*) FROM hydra.records").unwrap(), ["1"]);
}

async fn silent(mut server: Server) {
    let store = open(at(&[server.port()])).await.unwrap();
    insert(&store, 1).await.unwrap();
    let port = server.port();
    server.stop();
    // It takes connections and says nothing, as a machine does behind a broken load balancer.
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let since = Instant::now();
    while has(&store, 1).await.is_ok() {}
    for _ in 0..100 {
        assert!(has(&store, 1).await.is_err());
    }
    assert!(since.elapsed() < PATIENCE, "100 calls took {:?}", since.elapsed());
    let since = Instant::now();
    let refused = open(at(&[port])).await.unwrap_err();
    assert!(since.elapsed() < PATIENCE, "{:?}", since.elapsed());
    assert!(Causes(&refused).to_string().contains("timed out"), "{}", Causes(&refused));
    drop(listener);
    server.launch().unwrap();
    is_back(&store, 2).await;
    assert!(has(&store, 1).await.unwrap());
}

/// One host refuses connections, the other one is read-only: the cause is another one with each attempt.
async fn differently(mut server: Server, log: &Path) {
    let standby = Server::start(&[]).unwrap();
    standby.execute("hydra", "ALTER DATABASE hydra SET default_transaction_read_only = on").unwrap();
    let hosts = [server.port(), standby.port()];
    let store = open(at(&hosts)).await.unwrap();
    let lines = |word: &str| -> usize {
        let log = std::fs::read_to_string(log).unwrap();
        log.lines().filter(|line| line.contains(word)).count()
    };
    for round in 1..=2 {
        insert(&store, 1).await.unwrap();
        server.stop();
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(6) {
            assert!(insert(&store, 1).await.is_err());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // A server that stops may say so once before it refuses connections.
        for port in hosts {
            let of_host = format!("cannot connect to PostgreSQL, trying again host=\"127.0.0.1:{port}\"");
            let logged = lines(&of_host);
            assert!((round..=2 * round).contains(&logged), "{logged} lines in {round} outages");
        }
        server.launch().unwrap();
        is_back(&store, 1).await;
        assert_eq!(lines("connected to PostgreSQL again"), round);
    }
}

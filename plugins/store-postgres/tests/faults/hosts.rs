//! Several hosts, and hosts that are none.

use crate::{BACK_WITHIN, Config, Server, config, has, insert, is_back, open, trial};
use hydra_api::Causes;
use libtest_mimic::Trial;
use std::net::TcpListener;
use std::time::{Duration, Instant};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("the_first_host_that_fits_is_used", &[], several),
        trial("a_server_that_stops_taking_writes_is_left_for_one_that_does", &[], moved),
        trial("a_host_that_accepts_and_is_silent_fails_in_time", &[], silent),
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
    assert!(since.elapsed() < 2 * BACK_WITHIN, "100 calls took {:?}", since.elapsed());
    let since = Instant::now();
    let refused = open(at(&[port])).await.unwrap_err();
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    assert!(Causes(&refused).to_string().contains("timed out"), "{}", Causes(&refused));
    drop(listener);
    server.launch().unwrap();
    is_back(&store, 2).await;
    assert!(has(&store, 1).await.unwrap());
}

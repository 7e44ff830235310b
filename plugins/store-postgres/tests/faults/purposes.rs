//! What a store takes of its server when it is opened for something else than to serve.

use crate::{Config, PATIENCE, Server, Store, config, has, insert, open, trial};
use hydra_api::{Plugin, Purpose, Scope};
use hydra_store_postgres::Postgres;
use libtest_mimic::Trial;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tokio::time::sleep;

pub(crate) fn trials() -> Vec<Trial> {
    // Eight connections are left for roles that are no superusers.
    let settings = &["max_connections=11", "superuser_reserved_connections=3"];
    vec![
        trial("a_command_beside_a_node_opens_one_connection", settings, beside),
        trial("a_check_says_how_many_calls_the_server_has_room_for", settings, room),
    ]
}

fn of_app(server: &Server) -> Config {
    Config { user: "app".to_owned(), ..config(server.port()) }
}

async fn opened(config: Config, purpose: Purpose) -> Store {
    Postgres::open(config, &Scope::new(std::env::temp_dir()).with_purpose(purpose)).await.unwrap()
}

fn sessions(server: &Server, role: &str) -> usize {
    let query = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'");
    server.query("hydra", &query).unwrap()[0].parse().unwrap()
}

async fn until_sessions(server: &Server, role: &str, wanted: usize) {
    let since = Instant::now();
    while sessions(server, role) != wanted {
        assert!(since.elapsed() < PATIENCE, "{} sessions of {role}", sessions(server, role));
        sleep(Duration::from_millis(20)).await;
    }
}

/// Sessions of another role, until they are killed.
async fn strangers(server: &Server, count: usize) -> Vec<Child> {
    let start = || {
        let mut psql = server.psql("stranger", "hydra");
        psql.args(["-c", "SELECT pg_sleep(600)"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let strangers = (0..count).map(|_| start()).collect();
    until_sessions(server, "stranger", count).await;
    strangers
}

async fn leave(server: &Server, strangers: Vec<Child>) {
    for mut stranger in strangers {
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'stranger'";
    server.execute("hydra", end).unwrap();
    until_sessions(server, "stranger", 0).await;
}

fn create_roles(server: &Server) {
    for statement in
        ["CREATE ROLE app LOGIN", "GRANT ALL ON DATABASE hydra TO app", "CREATE ROLE stranger LOGIN"]
    {
        server.execute("hydra", statement).unwrap();
    }
}

async fn beside(server: Server) {
    create_roles(&server);
    let node = open(of_app(&server)).await.unwrap();
    insert(&node, 1).await.unwrap();
    until_sessions(&server, "app", 4).await;
    let strangers = strangers(&server, 2).await;
    for purpose in [Purpose::Use, Purpose::Check, Purpose::Migrate] {
        let store = opened(of_app(&server), purpose).await;
        assert!(has(&store, 1).await.unwrap(), "{purpose:?}");
        assert_eq!(sessions(&server, "app"), 5, "{purpose:?}");
        store.close().await.unwrap();
        until_sessions(&server, "app", 4).await;
    }
    leave(&server, strangers).await;
}

async fn room(server: Server) {
    create_roles(&server);
    drop(open(of_app(&server)).await.unwrap());
    let wide = || Config { connections_max: 6, ..of_app(&server) };
    // Sessions that have just ended may be counted still.
    let shows = async |wanted: usize, why: &str| {
        let since = Instant::now();
        loop {
            let store = opened(wide(), Purpose::Check).await;
            let profile = store.profile();
            store.close().await.unwrap();
            let of_lanes = [profile.reads.concurrency_max, profile.writes.concurrency_max];
            assert_eq!(of_lanes, [profile.concurrency_max; 2]);
            if profile.concurrency_max.get() == wanted {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{why}: {}", profile.concurrency_max);
            sleep(Duration::from_millis(50)).await;
        }
    };
    shows(6, "all that are configured").await;
    let strangers = strangers(&server, 6).await;
    shows(2, "those that others leave").await;
    leave(&server, strangers).await;
    server.execute("hydra", "ALTER ROLE app CONNECTION LIMIT 3").unwrap();
    shows(3, "the limit of the role").await;
    server.execute("hydra", "ALTER ROLE app CONNECTION LIMIT -1").unwrap();
    server.execute("hydra", "ALTER DATABASE hydra CONNECTION LIMIT 4").unwrap();
    shows(4, "the limit of the database").await;
}

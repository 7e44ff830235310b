//! The rules of a store, put to this one over a real server.

use hydra_conformance::servers::Postgres as Server;
use hydra_conformance::{Place, Suite};
use hydra_store_postgres::{Config, Migrate, Postgres};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A schema of its own for each case.
static SCHEMAS: AtomicU32 = AtomicU32::new(0);

fn config(server: &Server) -> Config {
    Config {
        hosts: vec![format!("127.0.0.1:{}", server.port())],
        schema: format!("case_{}", SCHEMAS.fetch_add(1, Ordering::Relaxed)),
        connections_max: 4,
        migrate: Migrate::Auto,
        refresh_slack_s: 0,
        ..Config::default()
    }
}

fn suite(server: &Arc<Server>) -> Suite {
    let server = Arc::clone(server);
    hydra_conformance::store::<Postgres, _, _>(move || {
        let server = Arc::clone(&server);
        async move { Place::of(config(&server)) }
    })
}

fn main() -> ExitCode {
    let server = match Server::start(&["max_connections=400"]) {
        Ok(server) => Arc::new(server),
        Err(cause) => panic!("cannot start PostgreSQL: {cause}"),
    };
    hydra_conformance::run([suite(&server)])
}

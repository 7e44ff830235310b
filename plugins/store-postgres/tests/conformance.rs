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

fn suite(server: Option<&Arc<Server>>) -> Suite {
    let absent = server.is_none();
    let server = server.cloned();
    let suite = hydra_conformance::store::<Postgres, _, _>(move || {
        let config = server.as_deref().map(config);
        async move { config.map_or_else(Place::with_defaults, Place::of) }
    });
    suite.ignored_if(absent)
}

fn main() -> ExitCode {
    // Without a server the cases are shown as ignored, except where all has to be tested.
    let is_required = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    let server = match Server::installed() {
        None if !is_required => None,
        _ => match Server::start(&["max_connections=400"]) {
            Ok(server) => Some(Arc::new(server)),
            Err(cause) => panic!("cannot start PostgreSQL: {cause}"),
        },
    };
    hydra_conformance::run([suite(server.as_ref())])
}

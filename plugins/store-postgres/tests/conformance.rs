//! The rules of a store, put to this one over real servers: directly, and through a pooler in transaction mode.

use hydra_conformance::servers::{self, PgBouncer, Postgres as Server};
use hydra_conformance::{Place, Suite};
use hydra_store_postgres::{Config, Migrate, Postgres, Prepared};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};

/// A schema of its own for each case.
static SCHEMAS: AtomicU32 = AtomicU32::new(0);

fn config(port: u16) -> Config {
    Config {
        hosts: vec![format!("127.0.0.1:{port}")],
        schema: format!("case_{}", SCHEMAS.fetch_add(1, Ordering::Relaxed)),
        connections_max: 4,
        migrate: Migrate::Auto,
        refresh_slack_s: 0,
        // Many tasks write the same rows on a machine that may be busy.
        statement_timeout_ms: 30_000,
        ..Config::default()
    }
}

/// The suite over the server at this port; ignored without one.
fn suite(port: Option<u16>, prepared: Prepared) -> Suite {
    let suite = hydra_conformance::store::<Postgres, _, _>(move || {
        let config = port.map(|port| Config { prepared, ..config(port) });
        async move { config.map_or_else(Place::with_defaults, Place::of) }
    });
    suite.ignored_if(port.is_none())
}

fn main() -> ExitCode {
    // Without a server the cases are shown as ignored, except where all has to be tested.
    let is_required = servers::required();
    let server = (is_required || Server::installed().is_some()).then(|| {
        let server = Server::start(&["max_connections=400"]);
        server.unwrap_or_else(|cause| panic!("cannot start PostgreSQL: {cause}"))
    });
    let server = server.as_ref();
    let pooler = server.filter(|_| is_required || PgBouncer::installed().is_some()).map(|server| {
        let pooler = PgBouncer::start(server, 8);
        pooler.unwrap_or_else(|cause| panic!("cannot start pgbouncer: {cause}"))
    });
    let direct = suite(server.map(Server::port), Prepared::Auto);
    let port = pooler.as_ref().map(PgBouncer::port);
    let pooled = suite(port, Prepared::Auto).named("pgbouncer");
    let lack = (!PgBouncer::prepares()).then_some("pgbouncer before 1.21 knows no prepared statements");
    let prepared = suite(port, Prepared::On).named("pgbouncer, prepared").ignored_for(lack);
    hydra_conformance::run([direct, pooled, prepared])
}

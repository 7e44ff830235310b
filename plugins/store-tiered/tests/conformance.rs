//! The rules of a store, put to this one: over stores in this process, and over real servers.

use hydra_api::Registry;
use hydra_conformance::servers::{self, Postgres as PostgresServer, Redis as RedisServer};
use hydra_conformance::{Place, Suite};
use hydra_store_fjall::Fjall;
use hydra_store_memory::Memory;
use hydra_store_postgres::Postgres;
use hydra_store_redis::Redis;
use hydra_store_tiered::Tiered;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};

/// A prefix and a schema of its own for each case.
static PLACES: AtomicU32 = AtomicU32::new(0);

fn place(table: &Value) -> Place {
    let mut registry = Registry::default();
    registry.add::<Fjall>().add::<Memory>().add::<Postgres>().add::<Redis>();
    Place::of(table).with_plugins(registry)
}

fn suite(name: &str, table: Value) -> Suite {
    let suite = hydra_conformance::store::<Tiered, _, _>(move || {
        let place = place(&table);
        async move { place }
    });
    suite.named(name)
}

/// Redis over PostgreSQL; ignored without them.
fn of_servers(name: &str, writes: &'static str, ports: Option<(u16, u16)>) -> Suite {
    let suite = hydra_conformance::store::<Tiered, _, _>(move || {
        let place = ports.map(|(redis, postgres)| {
            let number = PLACES.fetch_add(1, Ordering::Relaxed);
            place(&json!({ "writes": writes, "tiers": [
                { "kind": "redis", "hosts": [format!("127.0.0.1:{redis}")], "prefix": format!("case.{number}"),
                  "buckets_log2": 10, "connections_max": 4 },
                { "kind": "postgres", "hosts": [format!("127.0.0.1:{postgres}")], "schema": format!("case_{number}"),
                  "connections_max": 4, "refresh_slack_s": 0 },
            ] }))
        });
        async move { place.unwrap_or_else(Place::with_defaults) }
    });
    suite.named(name).ignored_if(ports.is_none())
}

fn main() -> ExitCode {
    let embedded =
        |writes: &str| json!({ "writes": writes, "tiers": [{ "kind": "memory" }, { "kind": "fjall" }] });
    let of_three =
        json!({ "tiers": [{ "kind": "memory", "mib_max": 1 }, { "kind": "memory" }, { "kind": "fjall" }] });
    let full = json!({ "tiers": [{ "kind": "memory" }, { "kind": "fjall", "providers_per_key_max": 100 }] });
    let full = hydra_conformance::store::<Tiered, _, _>(move || {
        let place = place(&full).full_within(1000);
        async move { place }
    });
    // Without the servers their cases are shown as ignored, except where all has to be tested.
    let is_required = servers::required();
    let is_there = RedisServer::installed().is_some() && PostgresServer::installed().is_some();
    let servers = (is_there || is_required).then(|| {
        let program = RedisServer::installed().unwrap_or_else(|| "redis-server".into());
        let redis = RedisServer::start(&program, &["--appendonly", "yes"]);
        let postgres = PostgresServer::start(&["max_connections=400"]);
        let failed = |cause| panic!("cannot start the servers: {cause}");
        (
            redis.unwrap_or_else(failed),
            postgres.unwrap_or_else(|cause| panic!("cannot start PostgreSQL: {cause}")),
        )
    });
    let ports = servers.as_ref().map(|(redis, postgres)| (redis.port(), postgres.port()));
    hydra_conformance::run([
        suite("memory over fjall", embedded("all")),
        suite("memory over fjall, writes to the last", embedded("last")),
        suite("a full memory over memory over fjall", of_three),
        full.only("s17").named("memory over a full fjall"),
        of_servers("redis over postgres", "all", ports),
        // What another process writes to the last tier alone is read after `complete_s`.
        of_servers("redis over postgres, writes to the last", "last", ports).without("s18_each"),
    ])
}

//! The rules of a store, put to this one over real servers.

use hydra_conformance::servers::{self, Redis as Server, RedisCluster, RedisSentinel};
use hydra_conformance::{Place, Suite};
use hydra_store_redis::{Config, Mode, Redis, Scripts, Sentinel};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A prefix of its own for each case.
static PREFIXES: AtomicU32 = AtomicU32::new(0);

fn fresh(config: &Config) -> Config {
    let prefix = format!("case.{}", PREFIXES.fetch_add(1, Ordering::Relaxed));
    Config { prefix, buckets_log2: 10, connections_max: 4, ..config.clone() }
}

/// One server, or several, that is started when its first case runs.
type Start<S> = fn(&Path) -> std::io::Result<(S, Config)>;

fn suite<S: Send + Sync + 'static>(name: &str, program: Option<PathBuf>, start: Start<S>) -> Suite {
    let absent = program.is_none();
    let servers = OnceLock::new();
    let suite = hydra_conformance::store::<Redis, _, _>(move || {
        let started = |program: &PathBuf| {
            let started = servers.get_or_init(|| start(program).map_err(|cause| cause.to_string()));
            started.as_ref().unwrap_or_else(|cause| panic!("cannot start Redis: {cause}"))
        };
        let place = program.as_ref().map(|program| Place::of(fresh(&started(program).1)));
        async move { place.unwrap_or_else(Place::with_defaults) }
    });
    suite.named(name).ignored_if(absent)
}

fn hosts(ports: impl IntoIterator<Item = u16>) -> Config {
    let hosts = ports.into_iter().map(|port| format!("127.0.0.1:{port}")).collect();
    Config { hosts, ..Config::default() }
}

fn standalone(program: &Path) -> std::io::Result<(Server, Config)> {
    let server = Server::start(program, &["--appendonly", "yes"])?;
    let config = hosts([server.port()]);
    Ok((server, config))
}

fn without_scripts(program: &Path) -> std::io::Result<(Server, Config)> {
    let (server, config) = standalone(program)?;
    Ok((server, Config { scripts: Scripts::Off, ..config }))
}

fn cluster(program: &Path) -> std::io::Result<(RedisCluster, Config)> {
    let cluster = RedisCluster::start(program, 3, 0, &[])?;
    let config = Config { mode: Mode::Cluster, ..hosts([cluster.nodes[1].port()]) };
    Ok((cluster, config))
}

fn cluster_without_scripts(program: &Path) -> std::io::Result<(RedisCluster, Config)> {
    let (cluster, config) = cluster(program)?;
    Ok((cluster, Config { scripts: Scripts::Off, ..config }))
}

fn sentinel(program: &Path) -> std::io::Result<(RedisSentinel, Config)> {
    let servers = RedisSentinel::start(program)?;
    let config = hosts(servers.ports().iter().copied());
    let sentinel = Sentinel { master: "hydra".to_owned(), ..Sentinel::default() };
    Ok((servers, Config { mode: Mode::Sentinel, sentinel, ..config }))
}

/// A server whose memory is soon full.
fn full(program: Option<PathBuf>, cases: &str) -> Suite {
    const BYTES_MAX: &str = "6000000";
    let absent = program.is_none();
    let suite = hydra_conformance::store::<Redis, _, _>(move || {
        let program = program.clone();
        async move {
            let Some(program) = program else { return Place::with_defaults() };
            match Server::start(&program, &["--maxmemory", BYTES_MAX]) {
                Ok(server) => {
                    let config = fresh(&hosts([server.port()]));
                    Place::of(config).guarded_by(server).full_within(60_000)
                }
                Err(cause) => panic!("cannot start Redis: {cause}"),
            }
        }
    });
    suite.only(cases).named("full").ignored_if(absent)
}

fn main() -> ExitCode {
    // Without a server the cases are shown as ignored, except where all has to be tested.
    let redis = Server::installed().or_else(|| servers::required().then(|| "redis-server".into()));
    let valkey = Server::valkey().or_else(|| servers::required().then(|| "valkey-server".into()));
    // The variant without scripts asks for more.
    let is_old = redis.as_deref().and_then(Server::version).is_some_and(|version| version < (7, 0));
    let lack = is_old.then_some("without scripts the store needs Redis 7.0 or later");
    hydra_conformance::run([
        suite("standalone", redis.clone(), standalone),
        suite("without scripts", redis.clone(), without_scripts).ignored_for(lack),
        suite("cluster", redis.clone(), cluster),
        suite("cluster without scripts", redis.clone(), cluster_without_scripts).ignored_for(lack),
        full(redis.clone(), "s17_what"),
        full(redis.clone(), "s23_a_full"),
        suite("sentinel", redis, sentinel),
        suite("valkey", valkey.clone(), standalone),
        suite("valkey cluster", valkey, cluster),
    ])
}

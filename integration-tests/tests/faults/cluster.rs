//! Faults of a Redis Cluster.

use super::redis::program;
use super::scenario::{Ground, Loss, Needs, Scenario};
use hydra_conformance::servers::{Redis as Server, RedisCluster};
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(30);
const MASTERS: usize = 3;
/// What the documentation of `appendfsync everysec` permits a crash to lose.
const EVERY_SECOND: Duration = Duration::from_secs(2);

type Started = io::Result<Box<dyn Ground>>;

const fn scenario(fault: &'static str, cause: &'static [&'static str], start: fn() -> Started) -> Scenario {
    Scenario { backend: "Redis Cluster", fault, start, cause, loss: Loss::Nothing, needs: Needs::Nothing }
}

/// How a connection to a server shows that this was killed: the replica may take over before another one is tried.
const ENDED: &[&str] = &["Connection refused", "broken pipe", "Broken pipe", "reset", "closed"];

pub(crate) const SCENARIOS: [Scenario; 4] = [
    Scenario {
        loss: Loss::Last(EVERY_SECOND),
        ..scenario("kill -9 and restart of a master", ENDED, || on(0, killed))
    },
    scenario("SIGSTOP of a master", &["no answer within", "time limit", "has stalled"], || on(0, frozen)),
    scenario("CLUSTER FAILOVER on each replica", &[], || on(1, failed_over)),
    Scenario {
        // What the replica has not received is lost.
        loss: Loss::Last(EVERY_SECOND),
        ..scenario("kill -9 of a master that a replica follows", ENDED, || on(1, succeeded))
    },
];

struct OnCluster {
    cluster: RedisCluster,
    inflict: fn(&mut RedisCluster, Duration) -> io::Result<()>,
}

fn on(replicas: usize, inflict: fn(&mut RedisCluster, Duration) -> io::Result<()>) -> Started {
    let cluster = RedisCluster::start(&program()?, MASTERS, replicas, &["--appendonly", "yes"])?;
    Ok(Box::new(OnCluster { cluster, inflict }))
}

impl Ground for OnCluster {
    fn config(&self) -> &'static str {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../config/redis-cluster.toml")
    }

    fn settings(&self) -> Vec<String> {
        let hosts: Vec<_> =
            self.cluster.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        vec![format!("store.hosts={hosts:?}"), "store.buckets_log2=10".to_owned()]
    }

    fn inflict(&mut self, during: Duration) -> io::Result<()> {
        (self.inflict)(&mut self.cluster, during)
    }
}

fn killed(cluster: &mut RedisCluster, during: Duration) -> io::Result<()> {
    cluster.nodes[1].kill()?;
    sleep(during);
    cluster.nodes[1].launch()?;
    until_ok(&cluster.nodes)
}

fn frozen(cluster: &mut RedisCluster, during: Duration) -> io::Result<()> {
    cluster.nodes[1].signal("STOP")?;
    sleep(during);
    cluster.nodes[1].signal("CONT")?;
    until_ok(&cluster.nodes)
}

/// Each replica takes over from its master, in turn.
fn failed_over(cluster: &mut RedisCluster, during: Duration) -> io::Result<()> {
    for replica in &cluster.nodes[MASTERS..] {
        replica.command(&["CLUSTER", "FAILOVER"])?;
        until_master(replica)?;
        sleep(during / MASTERS as u32);
    }
    Ok(())
}

fn succeeded(cluster: &mut RedisCluster, _: Duration) -> io::Result<()> {
    cluster.nodes[1].kill()?;
    until_master(&cluster.nodes[MASTERS + 1])
}

fn until_master(replica: &Server) -> io::Result<()> {
    let since = Instant::now();
    while !replica.command(&["ROLE"])?.starts_with("master") {
        if since.elapsed() > PATIENCE {
            return Err(io::Error::other("the replica does not take over"));
        }
        sleep(PAUSE);
    }
    Ok(())
}

/// Waits until all nodes know a master of each slot again.
fn until_ok(nodes: &[Server]) -> io::Result<()> {
    let since = Instant::now();
    for node in nodes {
        let is_ok = || -> io::Result<bool> {
            let info = node.command(&["CLUSTER", "INFO"])?;
            Ok(info.contains("cluster_slots_ok:16384"))
        };
        // One that reads its data does not answer yet.
        while !is_ok().unwrap_or(false) {
            if since.elapsed() > PATIENCE {
                return Err(io::Error::other("the cluster does not recover"));
            }
            sleep(PAUSE);
        }
    }
    Ok(())
}

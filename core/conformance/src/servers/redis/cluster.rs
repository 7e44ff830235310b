//! A Redis Cluster.

use super::super::{PATIENCE, PAUSE};
use super::Redis;
use std::io;
use std::path::Path;
use std::time::Instant;

/// The slots of a cluster.
const SLOTS: usize = 16_384;

/// A Redis Cluster of masters, each with some replicas. Stopped when dropped.
#[derive(Debug)]
pub struct RedisCluster {
    /// The masters at the start, and then the replicas: of the first master, of the second and so on.
    pub nodes: Vec<Redis>,
    masters: usize,
}

impl RedisCluster {
    /// Starts a cluster, whose nodes have these settings in addition to those of a cluster.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(program: &Path, masters: usize, replicas: usize, settings: &[&str]) -> io::Result<Self> {
        // A slot without a master concerns its own keys alone.
        let own = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "2000",
            "--cluster-require-full-coverage",
            "no",
        ];
        let settings = [&own[..], settings].concat();
        let count = masters * (1 + replicas);
        let nodes = (0..count).map(|_| Redis::start(program, &settings)).collect::<io::Result<Vec<_>>>()?;
        let cluster = Self { nodes, masters };
        let first = cluster.nodes[0].port().to_string();
        for (number, node) in cluster.nodes.iter().enumerate() {
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()])?;
            node.command(&["CLUSTER", "MEET", "127.0.0.1", &first])?;
        }
        for (number, node) in cluster.nodes[..masters].iter().enumerate() {
            // Redis 6.2 has no ADDSLOTSRANGE.
            let slots = number * SLOTS / masters..(number + 1) * SLOTS / masters;
            let slots: Vec<String> = slots.map(|slot| slot.to_string()).collect();
            let slots = slots.iter().map(String::as_str);
            node.command(&["CLUSTER", "ADDSLOTS"].into_iter().chain(slots).collect::<Vec<_>>())?;
        }
        cluster.until("it is known to all", |node| {
            let known = node.command(&["CLUSTER", "NODES"])?;
            Ok(known.lines().count() == count && !known.contains("handshake"))
        })?;
        for (number, node) in cluster.nodes[masters..].iter().enumerate() {
            let id = cluster.nodes[number / replicas].command(&["CLUSTER", "MYID"])?;
            node.command(&["CLUSTER", "REPLICATE", &id])?;
        }
        cluster.until("it answers", |node| {
            // Without full coverage the state is also ok while a node does not know yet whose some slots are.
            let info = node.command(&["CLUSTER", "INFO"])?;
            let is_ok =
                info.contains("cluster_state:ok") && info.contains(&format!("cluster_slots_ok:{SLOTS}"));
            let synced = node.command(&["INFO", "replication"])?;
            Ok(is_ok && !synced.contains("master_link_status:down"))
        })?;
        Ok(cluster)
    }

    /// The masters at the start.
    pub fn masters(&self) -> &[Redis] {
        &self.nodes[..self.masters]
    }

    /// Waits until all nodes say so.
    fn until(&self, what: &str, is_so: impl Fn(&Redis) -> io::Result<bool>) -> io::Result<()> {
        let since = Instant::now();
        for node in &self.nodes {
            while !is_so(node)? {
                if since.elapsed() > PATIENCE {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, format!("the cluster: {what}")));
                }
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }
}

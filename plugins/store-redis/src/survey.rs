//! What of the servers' settings an operator should know at the start.

use crate::memory::Memory;
use crate::net::{Fleet, Node};
use futures::future::join_all;
use redis::{Pipeline, Value};
use std::sync::Arc;

/// Warns of servers that forget records: by eviction, or at a crash. All are asked at once: one that does not answer costs the start
/// no more than its time limits. Those that tell their memory are asked for it again.
pub(crate) async fn survey(fleet: &Fleet) -> Memory {
    let ask = async |node: Arc<Node>| {
        let mut ask = Pipeline::new();
        ask.cmd("INFO").arg("memory");
        ask.cmd("INFO").arg("persistence");
        match node.exchange(&ask, 2).await {
            Ok(said) => {
                said.iter().for_each(|said| warn(&node, &text(said)));
                said.first().is_some_and(|memory| text(memory).contains("used_memory:"))
            }
            Err(fault) => {
                tracing::debug!(%fault, "cannot read the settings of the server");
                false
            }
        }
    };
    let told = join_all(fleet.nodes().into_iter().map(ask)).await;
    if told.contains(&true) { Memory::asking() } else { Memory::default() }
}

fn text(said: &Value) -> String {
    redis::from_redis_value_ref(said).unwrap_or_default()
}

fn warn(node: &Node, info: &str) {
    let value = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    if let Some(policy) = value("maxmemory_policy")
        && policy != "noeviction"
    {
        tracing::warn!(node = %node.address, policy, "the server evicts keys when its memory is full, and records with them: set `maxmemory-policy noeviction`");
    }
    if value("aof_enabled") == Some("0") {
        tracing::warn!(node = %node.address, "a crash of the server loses the records since its last snapshot: set `appendonly yes`");
    }
}

//! The purge without scripts: it walks the keys of each server by `SCAN`, and removes members in transactions, so that none is
//! removed that was refreshed meanwhile.

use crate::keyspace::Keyspace;
use crate::layout::Layout;
use crate::net::{Class, Fault, Node, Request};
use crate::plain;
use hydra_api::{PurgeProgress, Purged, UnixSeconds};
use redis::{Pipeline, Value};
use std::collections::{HashMap, VecDeque};

/// Keys of one round trip.
const KEYS: usize = 200;
/// Round trips of one call.
const ROUNDS_MAX: usize = 16;

/// A pass over all keys of all servers.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    node: usize,
    cursor: u64,
    /// Keys with members that have expired.
    expired: VecDeque<Vec<u8>>,
}

impl Scan {
    /// One step: some keys, and `limit` records at most.
    pub(crate) async fn step(
        &mut self,
        keys: &Keyspace,
        layout: &Layout,
        now: UnixSeconds,
        limit: u64,
    ) -> Result<Purged, Fault> {
        let (mut left, nodes) = (limit, keys.fleet.nodes());
        for _ in 0..ROUNDS_MAX {
            left -= self.remove(keys, layout, (now, left)).await;
            if left == 0 {
                break;
            }
            let Some(node) = nodes.get(self.node) else {
                *self = Self::default();
                return Ok(Purged::new(limit - left, PurgeProgress::Done));
            };
            if let Err(fault) = self.look(keys, layout, node, now).await {
                // The next pass comes by again.
                (self.node, self.cursor) = (self.node + 1, 0);
                return Err(fault);
            }
        }
        Ok(Purged::new(limit - left, PurgeProgress::More))
    }

    /// Finds keys with members that have expired.
    async fn look(
        &mut self,
        keys: &Keyspace,
        layout: &Layout,
        node: &Node,
        now: UnixSeconds,
    ) -> Result<(), Fault> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(self.cursor)
            .arg("MATCH")
            .arg(layout.pattern())
            .arg("COUNT")
            .arg(KEYS)
            .arg("TYPE")
            .arg("zset");
        let mut pipeline = Pipeline::new();
        pipeline.add_command(scan);
        let said = node.exchange(&pipeline, 1).await?.pop().unwrap_or_default();
        let (cursor, names): (u64, Vec<Vec<u8>>) = redis::from_redis_value(said)
            .map_err(|cause| Fault::new(Class::Other, &node.address, cause.to_string()))?;
        let own: Vec<_> =
            names.into_iter().filter_map(|name| Some((layout.partition_of_plain(&name)?, name))).collect();
        let request = |(partition, name): &(u16, Vec<u8>)| {
            let mut count = redis::cmd("ZCOUNT");
            count.arg(name).arg("-inf").arg(now.0);
            Request { slot: layout.count(*partition).slot, command: count, script: None }
        };
        let requests: Vec<_> = own.iter().map(request).collect();
        for ((_, name), answer) in own.into_iter().zip(keys.fleet.send(&requests).await) {
            if matches!(answer, Ok(Value::Int(1..))) {
                self.expired.push_back(name);
            }
        }
        self.cursor = cursor;
        if cursor == 0 {
            self.node += 1;
        }
        Ok(())
    }

    /// Removes from the keys that were found; how many records.
    async fn remove(&mut self, keys: &Keyspace, layout: &Layout, (now, limit): (UnixSeconds, u64)) -> u64 {
        let (mut removed, mut counts) = (0, HashMap::<u16, i64>::new());
        while let Some(name) = self.expired.front().filter(|_| removed < limit) {
            let partition = layout.partition_of_plain(name).unwrap_or_default();
            let gone = match keys.fleet.node(layout.count(partition).slot) {
                Some(node) => remove_from(&node, name, now, limit - removed).await,
                None => Ok(0),
            };
            let is_done = gone.as_ref().map_or(true, |gone| *gone < limit - removed);
            let gone = gone.unwrap_or_else(|fault| {
                tracing::debug!(%fault, "what has expired is left for the next pass");
                0
            });
            removed += gone;
            *counts.entry(partition).or_default() -= i64::try_from(gone).unwrap_or_default();
            if is_done {
                self.expired.pop_front();
            }
        }
        plain::count(keys, layout, counts).await;
        removed
    }
}

/// Removes members that have expired from one key, unless it changes meanwhile.
async fn remove_from(node: &Node, name: &[u8], now: UnixSeconds, limit: u64) -> Result<u64, Fault> {
    let mut look = Pipeline::new();
    look.cmd("WATCH").arg(name);
    look.cmd("ZRANGEBYSCORE").arg(name).arg("-inf").arg(now.0).arg("LIMIT").arg(0).arg(limit.min(1000));
    let remove = |found: &[Value]| {
        let members: Vec<Vec<u8>> = found.get(1).and_then(|said| redis::from_redis_value_ref(said).ok())?;
        let mut remove = Pipeline::new();
        remove.cmd("MULTI");
        if !members.is_empty() {
            remove.cmd("ZREM").arg(name).arg(&members);
        }
        remove.cmd("EXEC");
        Some(remove)
    };
    let said = node.transact(&look, remove).await?;
    match said.last() {
        Some(Value::Array(removed)) => match removed.first() {
            Some(Value::Int(gone)) => Ok(u64::try_from(*gone).unwrap_or_default()),
            _ => Ok(0),
        },
        _ => Ok(0),
    }
}

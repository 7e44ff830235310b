//! The purge of value records: each partition has them by expiry, so that a pass looks at what has expired alone.

use super::ROUNDS_MAX;
use crate::keyspace::Keyspace;
use crate::layout::{Form, Layout, PARTITIONS};
use crate::net::{Fault, Node, Request};
use crate::scripts;
use hydra_api::{PurgeProgress, Purged, UnixSeconds};
use redis::{Pipeline, Value};
use std::collections::VecDeque;

/// Partitions of one round trip.
const PARTITIONS_OF_ROUND: u64 = 64;
/// Records of one transaction, whatever the limit: a server does one thing at a time.
const REMOVED_MAX: u64 = 1000;

/// A pass over all partitions.
#[derive(Debug, Default)]
pub(super) struct Walk {
    partition: u16,
    /// Partitions with more to remove.
    again: VecDeque<u16>,
}

/// How many records a partition has lost, and whether there may be more to remove.
type Removed = (u64, bool);

impl Walk {
    /// One step: some partitions, and `limit` records at most.
    pub(super) async fn step(
        &mut self,
        keys: &Keyspace,
        layout: &Layout,
        now: UnixSeconds,
        limit: u64,
    ) -> Result<Purged, Fault> {
        let mut left = limit;
        for _ in 0..ROUNDS_MAX {
            let partitions = self.next(left.min(PARTITIONS_OF_ROUND));
            if partitions.is_empty() && left > 0 {
                self.partition = 0;
                return Ok(Purged::new(limit - left, PurgeProgress::Done));
            }
            // Each may lose its share, so that all together stay within the limit.
            let share = left / (partitions.len() as u64).max(1);
            let removed = match layout.form {
                Form::Buckets { .. } => by_scripts(keys, layout, &partitions, (now, share)).await,
                Form::Plain => in_transactions(keys, layout, &partitions, (now, share)).await,
            };
            let (mut failed, mut failures) = (None, 0);
            for (partition, removed) in partitions.iter().zip(removed) {
                match removed {
                    Ok((removed, has_more)) => {
                        left = left.saturating_sub(removed);
                        if has_more {
                            self.again.push_back(*partition);
                        }
                    }
                    // The next pass comes by again.
                    Err(fault) => (failed, failures) = (Some(fault), failures + 1),
                }
            }
            if let Some(fault) = failed.filter(|_| failures == partitions.len()) {
                return Err(fault);
            }
            if left == 0 {
                break;
            }
        }
        Ok(Purged::new(limit - left, PurgeProgress::More))
    }

    /// The next partitions: at most `count`, those with more to remove first.
    fn next(&mut self, count: u64) -> Vec<u16> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let again = count.min(self.again.len());
        let mut partitions: Vec<u16> = self.again.drain(..again).collect();
        while partitions.len() < count && self.partition < PARTITIONS {
            partitions.push(self.partition);
            self.partition += 1;
        }
        partitions
    }
}

async fn by_scripts(
    keys: &Keyspace,
    layout: &Layout,
    partitions: &[u16],
    (now, limit): (UnixSeconds, u64),
) -> Vec<Result<Removed, Fault>> {
    let request = |partition: &u16| {
        let index = layout.value_index(*partition);
        let mut command = scripts::PURGE_VALUES.call(&[&index.bytes]);
        command.arg(now.0).arg(limit).arg(&layout.values_of(*partition).bytes);
        Request { slot: index.slot, command, script: Some(&scripts::PURGE_VALUES) }
    };
    let requests: Vec<_> = partitions.iter().map(request).collect();
    let removed = |answer: Result<Value, Fault>| {
        let (removed, more): (u64, u64) = redis::from_redis_value(answer?).map_err(Fault::unreadable)?;
        Ok((removed, more > 0))
    };
    keys.fleet.send(&requests).await.into_iter().map(removed).collect()
}

/// Without scripts: partitions in which something has expired lose it in a transaction each, so that no record goes that was replaced
/// meanwhile.
async fn in_transactions(
    keys: &Keyspace,
    layout: &Layout,
    partitions: &[u16],
    (now, limit): (UnixSeconds, u64),
) -> Vec<Result<Removed, Fault>> {
    let request = |partition: &u16| {
        let index = layout.value_index(*partition);
        let mut command = redis::cmd("ZCOUNT");
        command.arg(&index.bytes).arg("-inf").arg(now.0);
        Request { slot: index.slot, command, script: None }
    };
    let requests: Vec<_> = partitions.iter().map(request).collect();
    let mut removed = Vec::with_capacity(partitions.len());
    for (partition, answer) in partitions.iter().zip(keys.fleet.send(&requests).await) {
        removed.push(match answer {
            Ok(Value::Int(1..)) => match keys.fleet.node(layout.value_index(*partition).slot) {
                Some(node) => remove(&node, layout, *partition, (now, limit.min(REMOVED_MAX))).await,
                None => Err(Fault::unserved(layout.value_index(*partition).slot)),
            },
            Ok(_) => Ok((0, false)),
            Err(fault) => Err(fault),
        });
    }
    removed
}

/// Removes what has expired from one partition. Every put of one of its records changes the index, which is watched.
async fn remove(
    node: &Node,
    layout: &Layout,
    partition: u16,
    (now, limit): (UnixSeconds, u64),
) -> Result<Removed, Fault> {
    let (index, names) = (layout.value_index(partition).bytes, layout.values_of(partition).bytes);
    let mut look = Pipeline::new();
    look.cmd("WATCH").arg(&index);
    look.cmd("ZRANGEBYSCORE").arg(&index).arg("-inf").arg(now.0).arg("LIMIT").arg(0).arg(limit);
    let mut found = 0;
    let remove = |said: &[Value]| {
        let expired: Vec<Vec<u8>> = said.get(1).and_then(|said| redis::from_redis_value_ref(said).ok())?;
        if expired.is_empty() {
            return None;
        }
        found = expired.len() as u64;
        let mut remove = Pipeline::new();
        remove.cmd("MULTI");
        for key in &expired {
            remove.cmd("DEL").arg([&names[..], key].concat());
        }
        remove.cmd("ZREM").arg(&index).arg(&expired);
        remove.cmd("EXEC");
        Some(remove)
    };
    let said = node.transact(&look, remove).await?;
    match said.last() {
        Some(Value::Array(_)) => Ok((found, found == limit)),
        // Something was put meanwhile: it is looked at again.
        Some(Value::Nil) => Ok((0, true)),
        None => Ok((0, false)),
        // Refused, as all transactions are while the memory is full.
        Some(_) => Err(node.first_fault(&said).unwrap_or_else(|| Fault::unreadable("no array"))),
    }
}

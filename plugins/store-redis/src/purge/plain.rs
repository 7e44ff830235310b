//! The purge without scripts: it walks the keys of each server by `SCAN`, and removes members in transactions, so that none is
//! removed that was refreshed meanwhile. Expiries that are too late are lowered in the same way.

use super::Dates;
use crate::keyspace::Keyspace;
use crate::layout::{Fingerprint, Layout};
use crate::net::{Class, Fault, Node, Request};
use crate::{peers, plain};
use hydra_api::{PurgeProgress, Purged};
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
    /// Keys with members that have expired, or expire too late.
    found: VecDeque<Vec<u8>>,
}

impl Scan {
    /// One step: some keys, and `limit` records at most.
    pub(crate) async fn step(
        &mut self,
        keys: &Keyspace,
        layout: &Layout,
        dates: Dates,
        limit: u64,
    ) -> Result<Purged, Fault> {
        let (mut left, mut removed, nodes) = (limit, 0, keys.fleet.nodes());
        for _ in 0..ROUNDS_MAX {
            let changed = self.change(keys, layout, dates, left).await;
            removed += changed.removed;
            left = left.saturating_sub(changed.removed + changed.lowered.len() as u64);
            if left == 0 {
                break;
            }
            let Some(node) = nodes.get(self.node) else {
                *self = Self::default();
                return Ok(Purged::new(removed, PurgeProgress::Done));
            };
            if let Err(fault) = self.look(keys, layout, node, dates).await {
                // The next pass comes by again.
                (self.node, self.cursor) = (self.node + 1, 0);
                return Err(fault);
            }
        }
        Ok(Purged::new(removed, PurgeProgress::More))
    }

    /// Finds keys with members that have expired, or expire too late.
    async fn look(
        &mut self,
        keys: &Keyspace,
        layout: &Layout,
        node: &Node,
        dates: Dates,
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
        let requests = |(partition, name): &(u16, Vec<u8>)| {
            let slot = layout.count(*partition).slot;
            [
                ("-inf".to_owned(), dates.now.0.to_string()),
                (format!("({}", dates.latest.0), "+inf".to_owned()),
            ]
            .map(|(from, to)| {
                let mut command = redis::cmd("ZCOUNT");
                command.arg(name).arg(from).arg(to);
                Request { slot, command, script: None }
            })
        };
        let requests: Vec<_> = own.iter().flat_map(requests).collect();
        for ((_, name), answers) in own.into_iter().zip(keys.fleet.send(&requests).await.chunks(2)) {
            if answers.iter().any(|answer| matches!(answer, Ok(Value::Int(1..)))) {
                self.found.push_back(name);
            }
        }
        self.cursor = cursor;
        if cursor == 0 {
            self.node += 1;
        }
        Ok(())
    }

    /// Changes the keys that were found: at most `limit` records.
    async fn change(&mut self, keys: &Keyspace, layout: &Layout, dates: Dates, limit: u64) -> Changed {
        let (mut all, mut counts) = (Changed::default(), HashMap::<u16, i64>::new());
        while let Some(name) = self.found.front().filter(|_| all.len() < limit) {
            let partition = layout.partition_of_plain(name).unwrap_or_default();
            let left = limit - all.len();
            let changed = match keys.fleet.node(layout.count(partition).slot) {
                Some(node) => change_one(&node, name, dates, left).await,
                None => Ok(Changed::default()),
            };
            let is_done = changed.as_ref().map_or(true, |changed| changed.len() < left && !changed.has_more);
            let changed = changed.unwrap_or_else(|fault| {
                tracing::debug!(%fault, "what has expired is left for the next pass");
                Changed::default()
            });
            *counts.entry(partition).or_default() -= i64::try_from(changed.removed).unwrap_or_default();
            all.removed += changed.removed;
            all.lowered.extend(changed.lowered);
            if is_done {
                self.found.pop_front();
            }
        }
        plain::count(keys, layout, counts).await;
        let lowered = all.lowered.iter().copied().collect();
        peers::shorten(keys, layout, lowered, (dates.now, dates.latest)).await;
        all
    }
}

/// What was changed.
#[derive(Debug, Default)]
struct Changed {
    removed: u64,
    /// The providers of records whose expiry was lowered.
    lowered: Vec<Fingerprint>,
    /// Whether there is more to change of the same key.
    has_more: bool,
}

impl Changed {
    fn len(&self) -> u64 {
        self.removed + self.lowered.len() as u64
    }
}

/// Removes members that have expired from one key, or lowers expiries that are too late, unless it changes meanwhile.
async fn change_one(node: &Node, name: &[u8], dates: Dates, limit: u64) -> Result<Changed, Fault> {
    let mut look = Pipeline::new();
    look.cmd("WATCH").arg(name);
    let few = limit.min(1000);
    look.cmd("ZRANGEBYSCORE").arg(name).arg("-inf").arg(dates.now.0).arg("LIMIT").arg(0).arg(few);
    let far = format!("({}", dates.latest.0);
    look.cmd("ZRANGEBYSCORE").arg(name).arg(far).arg("+inf").arg("LIMIT").arg(0).arg(few);
    let (mut lowered, mut has_more) = (Vec::<Vec<u8>>::new(), false);
    let change = |found: &[Value]| {
        let members =
            |at: usize| -> Option<Vec<Vec<u8>>> { redis::from_redis_value_ref(found.get(at)?).ok() };
        let (ended, far) = (members(1)?, members(2)?);
        has_more = !ended.is_empty() && !far.is_empty();
        let mut change = Pipeline::new();
        change.cmd("MULTI");
        // One after the other: each for itself stays within the limit.
        if !ended.is_empty() {
            change.cmd("ZREM").arg(name).arg(&ended);
        } else if !far.is_empty() {
            change.cmd("ZADD").arg(name).arg("XX");
            for id in &far {
                change.arg(dates.latest.0).arg(id);
            }
            lowered = far;
        }
        change.cmd("EXEC");
        Some(change)
    };
    let said = node.transact(&look, change).await?;
    match said.last() {
        Some(Value::Array(done)) if !lowered.is_empty() && !done.is_empty() => {
            let lowered = lowered.into_iter().filter_map(|id| id.try_into().ok()).collect();
            Ok(Changed { removed: 0, lowered, has_more })
        }
        Some(Value::Array(done)) => match done.first() {
            Some(Value::Int(gone)) => {
                let removed = u64::try_from(*gone).unwrap_or_default();
                Ok(Changed { removed, lowered: Vec::new(), has_more })
            }
            _ => Ok(Changed::default()),
        },
        _ => Ok(Changed::default()),
    }
}

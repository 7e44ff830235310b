//! Puts without scripts: in transactions that watch the records, so that what was compared is what is replaced.

use super::packed::{mark, unpack};
use super::{Put, Stored};
use crate::keyspace::Keyspace;
use crate::layout::{Layout, Name};
use crate::net::{Class, Fault, Node};
use crate::plain;
use hydra_api::UnixSeconds;
use redis::{Pipeline, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often a transaction begins again because a record has changed: each time another put has ended.
const TRIES_MAX: usize = 16;
/// How often one begins again on another connection.
const LOSSES_MAX: usize = 2;

/// What is to be done about a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Its key has what was seen.
    Write,
    /// Its record is there: an earlier try has brought it.
    Written,
    /// Its key has something else.
    Changed,
}

/// Puts records, each key once; a result for each. Servers of a cluster permit one slot in a transaction.
pub(super) async fn put(keys: &Keyspace, layout: &Layout, puts: &[Put<'_>], now: UnixSeconds) -> Vec<Stored> {
    let is_cluster = keys.fleet.is_cluster();
    let names: Vec<Name> = puts.iter().map(|put| layout.value(&put.put.key)).collect();
    let mut groups: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        groups.entry(if is_cluster { name.slot } else { 0 }).or_default().push(at);
    }
    let mut results: Vec<Stored> = puts.iter().map(|_| Ok(false)).collect();
    for places in groups.into_values() {
        let group: Vec<_> = places.iter().map(|at| (&names[*at], &puts[*at])).collect();
        let of_group = Group { keys, layout, puts: &group, now }.put().await;
        for (at, result) in places.into_iter().zip(of_group) {
            results[at] = result;
        }
    }
    results
}

/// Records of one transaction.
struct Group<'g> {
    keys: &'g Keyspace,
    layout: &'g Layout,
    puts: &'g [(&'g Name, &'g Put<'g>)],
    now: UnixSeconds,
}

/// How one try has ended.
enum Ended {
    /// With these verdicts: what was to be written is.
    Done(Vec<Verdict>),
    /// A record has changed meanwhile: nothing was done.
    Again,
}

impl Group<'_> {
    async fn put(&self) -> Vec<Stored> {
        // A connection that ended after the transaction was sent leaves it open whether that was carried out.
        let (mut lost, mut losses) = (None, 0);
        for _ in 0..TRIES_MAX {
            let Some(node) = self.node() else {
                let slot = self.puts.first().map_or(0, |(name, _)| name.slot);
                return self.all(&Fault::unserved(slot));
            };
            let mut is_sent = false;
            match self.attempt(&node, &mut is_sent).await {
                Ok(Ended::Done(verdicts)) => return self.results(&verdicts, lost.as_ref()),
                Ok(Ended::Again) => {}
                Err(fault) if fault.class == Class::Connection && losses < LOSSES_MAX => {
                    losses += 1;
                    // The other connections may be as dead.
                    node.close(hydra_remote::Cause::Lost);
                    if is_sent {
                        lost = Some(fault);
                    }
                }
                Err(fault) if self.keys.fleet.heeds(&fault) => {}
                Err(fault) => return self.all(lost.as_ref().unwrap_or(&fault)),
            }
        }
        let busy = Fault::busy("the value records change too often");
        self.all(lost.as_ref().unwrap_or(&busy))
    }

    fn node(&self) -> Option<Arc<Node>> {
        self.keys.fleet.node(self.puts.first()?.0.slot)
    }

    fn all(&self, fault: &Fault) -> Vec<Stored> {
        self.puts.iter().map(|_| Err(fault.clone())).collect()
    }

    /// A record that has changed after a try that may have been carried out may have replaced ours.
    fn results(&self, verdicts: &[Verdict], lost: Option<&Fault>) -> Vec<Stored> {
        let result = |verdict: &Verdict| match (verdict, lost) {
            (Verdict::Write | Verdict::Written, _) => Ok(true),
            (Verdict::Changed, None) => Ok(false),
            (Verdict::Changed, Some(fault)) => Err(fault.clone()),
        };
        verdicts.iter().map(result).collect()
    }

    /// Compares and sets once.
    async fn attempt(&self, node: &Node, is_sent: &mut bool) -> Result<Ended, Fault> {
        let mut look = Pipeline::new();
        for (name, _) in self.puts {
            look.cmd("WATCH").arg(&name.bytes);
            look.cmd("GET").arg(&name.bytes);
        }
        let (mut verdicts, mut refused) = (Vec::new(), None);
        let said = node.transact(&look, |found| {
            refused = node.first_fault(found);
            if refused.is_some() {
                return None;
            }
            let found = found.iter().skip(1).step_by(2);
            verdicts = found.zip(self.puts).map(|(found, (_, put))| self.verdict(found, put)).collect();
            *is_sent = verdicts.contains(&Verdict::Write);
            is_sent.then(|| self.transaction(&verdicts))
        });
        let said = said.await?;
        if let Some(fault) = refused {
            return Err(fault);
        }
        match said.last() {
            None | Some(Value::Array(_)) => match node.first_fault(&said) {
                Some(fault) => Err(fault),
                None => Ok(Ended::Done(verdicts)),
            },
            Some(Value::Nil) => Ok(Ended::Again),
            // Refused as a whole: for the reason why a command was not queued, if there is one.
            Some(_) => Err(node.first_fault(&said).unwrap_or_else(|| Fault::unreadable("no array"))),
        }
    }

    fn verdict(&self, found: &Value, put: &Put<'_>) -> Verdict {
        let packed = match found {
            Value::BulkString(packed) => &packed[..],
            _ => &[],
        };
        if mark(packed).is_some_and(|found| Some(found) == mark(&put.packed)) {
            return Verdict::Written;
        }
        let live = unpack(packed).filter(|record| record.expires > self.now).map(|record| record.value);
        if live == put.put.seen { Verdict::Write } else { Verdict::Changed }
    }

    fn transaction(&self, verdicts: &[Verdict]) -> Pipeline {
        let mut transaction = Pipeline::new();
        transaction.cmd("MULTI");
        let written = self.puts.iter().zip(verdicts).filter(|(_, verdict)| **verdict == Verdict::Write);
        for ((name, Put { put, packed, seconds }), _) in written {
            let index = self.layout.value_index(name.partition);
            transaction.cmd("SET").arg(&name.bytes).arg(packed).arg("EX").arg(*seconds);
            transaction.cmd("ZADD").arg(&index.bytes).arg(put.record.expires.0).arg(put.key.as_bytes());
            for request in plain::keep(&index, *seconds) {
                transaction.add_command(request.command);
            }
        }
        transaction.cmd("EXEC");
        transaction
    }
}

//! Without scripts: a sorted set for each key, of fingerprints by expiry. It needs Redis 7.0 or later.
//!
//! Every command can stand alone: a crash between two of them leaves a key that the purge removes, or a count that is off by a
//! batch.

use crate::change::{Change, MARGIN_S};
use crate::keyspace::Keyspace;
use crate::layout::{Layout, Name};
use crate::net::{Fault, Request};
use hydra_api::UnixSeconds;
use redis::Value;
use std::collections::HashMap;

/// Commands that keep a key for at least this long: an expiry is set if there is none, and is never shortened.
pub(crate) fn keep(name: &Name, seconds: u64) -> [Request; 2] {
    ["NX", "GT"].map(|when| {
        let mut command = redis::cmd("EXPIRE");
        command.arg(&name.bytes).arg(seconds).arg(when);
        Request { slot: name.slot, command, script: None }
    })
}

/// Writes the changes; a result for each.
pub(crate) async fn write(
    keys: &Keyspace,
    layout: &Layout,
    changes: &[Change],
    now: UnixSeconds,
) -> Vec<Result<(), Fault>> {
    let mut requests = Vec::with_capacity(3 * changes.len());
    let names: Vec<Name> = changes.iter().map(|change| layout.plain(&change.key)).collect();
    for (change, name) in changes.iter().zip(&names) {
        let mut add = redis::cmd("ZADD");
        add.arg(&name.bytes).arg("GT");
        for (fingerprint, expires) in &change.providers {
            add.arg(expires.0).arg(fingerprint);
        }
        requests.push(Request { slot: name.slot, command: add, script: None });
        requests.extend(keep(name, change.latest().since(now).as_secs() + u64::from(MARGIN_S)));
    }
    let answers = keys.fleet.send(&requests).await;
    let mut added: HashMap<u16, i64> = HashMap::new();
    let result = |(answers, name): (&[Result<Value, Fault>], &Name)| {
        for answer in answers {
            answer.as_ref().map_err(Clone::clone)?;
        }
        if let Some(Ok(Value::Int(new))) = answers.first() {
            *added.entry(name.partition).or_default() += new;
        }
        Ok(())
    };
    let results = answers.chunks(3).zip(&names).map(result).collect();
    count(keys, layout, added).await;
    results
}

/// Adds to the numbers of records. They are estimates: what cannot be added is left out.
pub(crate) async fn count(keys: &Keyspace, layout: &Layout, added: HashMap<u16, i64>) {
    let request = |(partition, added): (u16, i64)| {
        let name = layout.count(partition);
        let mut command = redis::cmd("INCRBY");
        command.arg(&name.bytes).arg(added);
        Request { slot: name.slot, command, script: None }
    };
    let requests: Vec<_> = added.into_iter().filter(|(_, added)| *added != 0).map(request).collect();
    for fault in keys.fleet.send(&requests).await.into_iter().filter_map(Result::err) {
        tracing::debug!(%fault, "a number of records is not counted");
    }
}

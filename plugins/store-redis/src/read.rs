//! Reading a batch of keys: one request for each bucket, and one more for each key with many providers.

use crate::keyspace::Keyspace;
use crate::layout::{self, Fingerprint, Form, Layout, Name};
use crate::net::{Fault, Request};
use crate::peers::{Peers, Rows};
use crate::scripts::{ENTRY_LEN, MANY};
use hydra_api::{ContentKey, Found, Provider, StoreError, UnixSeconds};
use redis::Value;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::num::NonZeroU32;

/// A provider of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) expires: UnixSeconds,
}

/// What is known of one key.
type Entries = Result<Vec<Entry>, Fault>;

/// The live providers of each key.
pub(crate) async fn providers(
    keys: &Keyspace,
    peers: &Peers,
    asked: &[ContentKey],
    (now, limit): (UnixSeconds, NonZeroU32),
) -> Result<Vec<Found>, StoreError> {
    let layout = keys.layout();
    let mut entries = vec![Ok(Vec::new()); asked.len()];
    let many = match layout.form {
        Form::Buckets { .. } => buckets(keys, &layout, asked, now, &mut entries).await,
        Form::Plain => asked.iter().map(|key| layout.plain(key)).enumerate().collect(),
    };
    for (at, answer) in sorted_sets(keys, many, (now, limit)).await {
        entries[at] = answer;
    }
    let limit = usize::try_from(limit.get()).unwrap_or(usize::MAX);
    for entries in entries.iter_mut().filter_map(|entries| entries.as_mut().ok()) {
        entries.sort_unstable_by_key(|entry| Reverse(entry.expires));
        entries.truncate(limit);
    }
    let fingerprints = entries.iter().flatten().flatten().map(|entry| entry.fingerprint);
    let rows = peers.rows(keys, &layout, fingerprints).await;
    let found: Vec<_> = entries.into_iter().map(|entries| with_rows(entries, &rows)).collect();
    // Nothing is known of any key: the call has failed, unless keys of other servers are known.
    let faults = || found.iter().filter_map(|found| found.as_ref().err());
    if found.iter().all(Result::is_err)
        && let Some(fault) = faults().find(|fault| !keys.fleet.is_in_part(fault))
    {
        return Err(fault.clone().into_error("providers"));
    }
    faults().for_each(|fault| keys.fleet.log_in_part(fault));
    let found = found.into_iter().map(|found| match found {
        Ok(providers) => Found::Known(providers),
        Err(fault) => Found::Unknown(fault.kind()),
    });
    Ok(found.collect())
}

/// The providers of a key. It is unknown if it has some, and the server of all their rows did not answer.
fn with_rows(entries: Entries, rows: &Rows) -> Result<Vec<Provider>, Fault> {
    let entries = entries?;
    let provider = |entry: &Entry| {
        let row = rows.found.get(&entry.fingerprint)?;
        let (peer, addresses, addresses_at) = (row.peer, row.addresses.clone(), row.addresses_at);
        Some(Provider { peer, addresses, addresses_at, expires: entry.expires })
    };
    let providers: Vec<_> = entries.iter().filter_map(provider).collect();
    match entries.iter().find_map(|entry| rows.failed.get(&entry.fingerprint)) {
        Some(fault) if providers.is_empty() => Err(fault.clone()),
        _ => Ok(providers),
    }
}

/// Reads the buckets. Returns the sorted sets of the keys that have many providers, with their places in the batch.
async fn buckets(
    keys: &Keyspace,
    layout: &Layout,
    asked: &[ContentKey],
    now: UnixSeconds,
    entries: &mut [Entries],
) -> Vec<(usize, Name)> {
    let mut buckets: HashMap<Name, Vec<usize>> = HashMap::new();
    for (at, key) in asked.iter().enumerate() {
        buckets.entry(layout.bucket(key)).or_default().push(at);
    }
    let buckets: Vec<(Name, Vec<usize>)> = buckets.into_iter().collect();
    let request = |(bucket, places): &(Name, Vec<usize>)| {
        let mut command = redis::cmd("HMGET");
        command.arg(&bucket.bytes);
        for at in places {
            command.arg(layout::field(&asked[*at]));
        }
        Request { slot: bucket.slot, command, script: None }
    };
    let requests: Vec<_> = buckets.iter().map(request).collect();
    let mut many = Vec::new();
    for ((bucket, places), answer) in buckets.iter().zip(keys.fleet.send(&requests).await) {
        let values = match answer {
            Ok(values) => values.into_sequence().unwrap_or_default(),
            Err(fault) => {
                places.iter().for_each(|at| entries[*at] = Err(fault.clone()));
                continue;
            }
        };
        for (at, value) in places.iter().zip(values) {
            match value {
                Value::BulkString(packed) if packed == MANY => {
                    many.push((*at, layout.many(bucket, &asked[*at])))
                }
                Value::BulkString(packed) => entries[*at] = Ok(unpack(&packed, now)),
                _ => {}
            }
        }
    }
    many
}

/// The living of a packed value.
pub(crate) fn unpack(packed: &[u8], now: UnixSeconds) -> Vec<Entry> {
    let entry = |packed: &[u8]| {
        let (fingerprint, rest) = packed.split_first_chunk()?;
        let (expires, _) = rest.split_first_chunk()?;
        Some(Entry { fingerprint: *fingerprint, expires: UnixSeconds(u32::from_be_bytes(*expires)) })
    };
    let entries = packed.chunks_exact(ENTRY_LEN).filter_map(entry);
    entries.filter(|entry| entry.expires > now).collect()
}

/// The freshest of some sorted sets: a key with 30,000 providers costs as much as one with the limit.
async fn sorted_sets(
    keys: &Keyspace,
    many: Vec<(usize, Name)>,
    (now, limit): (UnixSeconds, NonZeroU32),
) -> Vec<(usize, Entries)> {
    let request = |(_, name): &(usize, Name)| {
        let mut command = redis::cmd("ZREVRANGEBYSCORE");
        command.arg(&name.bytes).arg("+inf").arg(format!("({now}"));
        command.arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit.get());
        Request { slot: name.slot, command, script: None }
    };
    let requests: Vec<_> = many.iter().map(request).collect();
    let answers = keys.fleet.send(&requests).await.into_iter();
    let entries = |said: Value| {
        let pairs: Vec<(Vec<u8>, f64)> = redis::from_redis_value(said).unwrap_or_default();
        let entry = |(member, score): (Vec<u8>, f64)| {
            // Scores are whole numbers of 32 bits.
            Some(Entry { fingerprint: member.try_into().ok()?, expires: UnixSeconds(score as u32) })
        };
        pairs.into_iter().filter_map(entry).collect()
    };
    many.iter().map(|(at, _)| *at).zip(answers.map(|answer| answer.map(entries))).collect()
}

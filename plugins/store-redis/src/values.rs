//! Value records: a key for each, and for each partition an index of them by expiry.

mod estimate;
mod packed;
mod plain;
mod scan;

use crate::change::MARGIN_S;
use crate::keyspace::Keyspace;
use crate::layout::{Form, Layout};
use crate::net::{Class, Fault, Request, during};
use crate::scripts;
use crate::store::Redis;
use hydra_api::{
    Cursor, FoundValue, Purged, PutOutcome, StoreError, StoreErrorKind, UnixSeconds, ValueEstimate, ValueKey,
    ValuePage, ValuePut, ValueStore, async_trait,
};
use hydra_remote::rounds;
use packed::{pack, unpack};
use redis::Value;
use std::num::NonZeroU32;
use std::sync::Arc;

/// A put on its way: what is to be stored, and for how long.
#[derive(Debug)]
struct Put<'b> {
    put: &'b ValuePut,
    /// The record as a server keeps it, with a mark of its own by which a put that is sent again knows itself.
    packed: Vec<u8>,
    seconds: u64,
}

/// True if a record was stored, false if its key had something else than was seen.
type Stored = Result<bool, Fault>;

impl<'b> Put<'b> {
    fn new(put: &'b ValuePut, now: UnixSeconds) -> Self {
        // The purge comes first.
        let seconds = put.record.expires.since(now).as_secs() + u64::from(MARGIN_S);
        Self { put, packed: pack(&put.record, rand::random()), seconds }
    }
}

#[async_trait]
impl ValueStore for Redis {
    async fn get(&self, keys: Arc<[ValueKey]>, now: UnixSeconds) -> Result<Vec<FoundValue>, StoreError> {
        self.open_for("get")?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let read = async {
            self.look().await;
            get(&self.keys, &keys, now).await
        };
        during("get", read).await
    }

    async fn put_if(&self, batch: Arc<[ValuePut]>, now: UnixSeconds) -> Result<Vec<PutOutcome>, StoreError> {
        self.open_for("put_if")?;
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let put = async {
            self.look().await;
            let layout = self.keys.layout();
            let results = put_all(&self.keys, &layout, &batch, now).await;
            if self.keys.has_looked().await {
                return outcomes(&self.keys, results, Repeated::No);
            }
            // A server may have come back without its keys, and others may have begun them anew: then nobody finds what was put.
            self.look().await;
            if *self.keys.layout() != *layout {
                return Ok(vec![PutOutcome::Unknown(StoreErrorKind::Unavailable); batch.len()]);
            }
            outcomes(&self.keys, results, Repeated::Maybe)
        };
        during("put_if", put).await
    }

    async fn purge_values(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.open_for("purge_values")?;
        during("purge_values", self.purge.step_of_values(&self.keys, now, limit.get())).await
    }

    async fn estimate_values(&self) -> Result<ValueEstimate, StoreError> {
        self.open_for("estimate_values")?;
        let estimate = async {
            self.look().await;
            estimate::estimate(&self.keys).await
        };
        during("estimate_values", estimate).await
    }

    async fn delete_values(&self, keys: Arc<[ValueKey]>) -> Result<u64, StoreError> {
        self.open_for("delete_values")?;
        let delete = async {
            self.look().await;
            delete(&self.keys, &keys).await.map_err(|fault| fault.into_error("delete_values"))
        };
        during("delete_values", delete).await
    }

    async fn scan_values(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<ValuePage, StoreError> {
        self.open_for("scan_values")?;
        let page = async {
            self.look().await;
            scan::page(&self.keys, from, now, limit).await
        };
        during("scan_values", page).await
    }
}

async fn get(keys: &Keyspace, asked: &[ValueKey], now: UnixSeconds) -> Result<Vec<FoundValue>, StoreError> {
    let layout = keys.layout();
    let request = |key: &ValueKey| {
        let name = layout.value(key);
        let mut command = redis::cmd("GET");
        command.arg(&name.bytes);
        Request { slot: name.slot, command, script: None }
    };
    let requests: Vec<_> = asked.iter().map(request).collect();
    let answers = keys.fleet.send(&requests).await;
    let faults = || answers.iter().filter_map(|answer| answer.as_ref().err());
    // Nothing is known of any key: the call has failed, unless keys of other servers are known.
    if faults().count() == answers.len()
        && let Some(fault) = faults().find(|fault| !keys.fleet.is_in_part(fault))
    {
        return Err(fault.clone().into_error("get"));
    }
    faults().for_each(|fault| keys.fleet.log_in_part(fault));
    let found = answers.into_iter().map(|answer| match answer {
        Ok(Value::BulkString(packed)) => {
            FoundValue::Known(unpack(&packed).filter(|record| record.expires > now))
        }
        Ok(_) => FoundValue::Known(None),
        Err(fault) => FoundValue::Unknown(fault.kind()),
    });
    Ok(found.collect())
}

/// Puts a batch; a result for each record. Those of one key go one after another.
async fn put_all(keys: &Keyspace, layout: &Layout, batch: &[ValuePut], now: UnixSeconds) -> Vec<Stored> {
    let mut results: Vec<Stored> = batch.iter().map(|_| Ok(false)).collect();
    for places in rounds(batch.iter().map(|put| put.key)) {
        let puts: Vec<Put<'_>> = places.iter().map(|at| Put::new(&batch[*at], now)).collect();
        let of_round = match layout.form {
            Form::Buckets { .. } => put(keys, layout, &puts, now).await,
            Form::Plain => plain::put(keys, layout, &puts, now).await,
        };
        for (at, result) in places.into_iter().zip(of_round) {
            results[at] = result;
        }
    }
    results
}

/// One script for each record.
async fn put(keys: &Keyspace, layout: &Layout, puts: &[Put<'_>], now: UnixSeconds) -> Vec<Stored> {
    let request = |Put { put, packed, seconds }: &Put<'_>| {
        let name = layout.value(&put.key);
        let index = layout.value_index(name.partition);
        let mut command = scripts::PUT_VALUE.call(&[&name.bytes, &index.bytes]);
        command.arg(now.0).arg(packed).arg(put.key.as_bytes()).arg(put.record.expires.0).arg(*seconds);
        if let Some(seen) = &put.seen {
            command.arg(&seen[..]);
        }
        Request { slot: name.slot, command, script: Some(&scripts::PUT_VALUE) }
    };
    let requests: Vec<_> = puts.iter().map(request).collect();
    let stored = |answer: Result<Value, Fault>| Ok(answer? == Value::Int(1));
    keys.fleet.send(&requests).await.into_iter().map(stored).collect()
}

/// Whether a put may have reached its server twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeated {
    No,
    /// A connection was lost meanwhile.
    Maybe,
}

/// What became of each record.
///
/// A put that was sent again and finds another record than was seen may have been the one that was seen by the put of that record: this is
/// not known, and neither is a put that finds no room then.
fn outcomes(
    keys: &Keyspace,
    results: Vec<Stored>,
    repeated: Repeated,
) -> Result<Vec<PutOutcome>, StoreError> {
    let faults = || results.iter().filter_map(|result| result.as_ref().err());
    if faults().filter(|fault| fault.class != Class::OutOfMemory).count() == results.len()
        && let Some(fault) = faults().find(|fault| !keys.fleet.is_in_part(fault))
    {
        return Err(fault.clone().into_error("put_if"));
    }
    faults().for_each(|fault| keys.fleet.log_in_part(fault));
    let unknown = PutOutcome::Unknown(StoreErrorKind::Unavailable);
    let outcome = |result: Stored| match (result, repeated) {
        (Ok(true), _) => PutOutcome::Stored,
        (Ok(false), Repeated::No) => PutOutcome::Changed,
        (Err(fault), Repeated::No) if fault.class == Class::OutOfMemory => PutOutcome::NoRoom,
        (Err(fault), _) if fault.class != Class::OutOfMemory => PutOutcome::Unknown(fault.kind()),
        (Ok(false) | Err(_), _) => unknown.clone(),
    };
    Ok(results.into_iter().map(outcome).collect())
}

/// Removes records, each from the index first: a record that is left without an entry would be counted and purged by nobody.
async fn delete(keys: &Keyspace, deleted: &[ValueKey]) -> Result<u64, Fault> {
    let layout = keys.layout();
    let requests = |key: &ValueKey| {
        let name = layout.value(key);
        let index = layout.value_index(name.partition);
        let request = |command, script| Request { slot: name.slot, command, script };
        match layout.form {
            Form::Buckets { .. } => {
                let mut command = scripts::DELETE_VALUE.call(&[&name.bytes, &index.bytes]);
                command.arg(key.as_bytes());
                vec![request(command, Some(&*scripts::DELETE_VALUE))]
            }
            Form::Plain => {
                let (mut entry, mut record) = (redis::cmd("ZREM"), redis::cmd("DEL"));
                entry.arg(&index.bytes).arg(key.as_bytes());
                record.arg(&name.bytes);
                vec![request(entry, None), request(record, None)]
            }
        }
    };
    let requests: Vec<Vec<Request>> = deleted.iter().map(requests).collect();
    let of_key = requests.first().map_or(1, Vec::len);
    let answers = keys.fleet.send(&requests.concat()).await;
    let mut removed = 0;
    // The last answer of each key is the number of its records.
    for answers in answers.chunks(of_key) {
        for answer in answers {
            answer.as_ref().map_err(Clone::clone)?;
        }
        if let Some(Ok(Value::Int(1..))) = answers.last() {
            removed += 1;
        }
    }
    Ok(removed)
}

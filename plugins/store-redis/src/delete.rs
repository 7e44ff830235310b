//! Records that an operator removes.

use crate::keyspace::Keyspace;
use crate::layout::{self, Fingerprint, Form, Layout};
use crate::net::{Fault, Request};
use crate::peers::Peers;
use crate::{plain, scripts};
use hydra_api::{ContentKey, DeleteProgress, Deleted, Deletion, StoreError};
use std::collections::HashMap;
use std::num::NonZeroU32;

/// Records of one step, whatever its limit: a server does one thing at a time.
const REMOVED_MAX: u32 = 1000;

/// One step: removes up to `limit` records.
pub(crate) async fn delete(
    keys: &Keyspace,
    peers: &Peers,
    deletion: Deletion,
    limit: NonZeroU32,
) -> Result<Deleted, StoreError> {
    step(keys, peers, deletion, limit.get().min(REMOVED_MAX))
        .await
        .map_err(|fault| fault.into_error("delete"))
}

async fn step(keys: &Keyspace, peers: &Peers, deletion: Deletion, limit: u32) -> Result<Deleted, Fault> {
    let layout = keys.layout();
    let provider = match deletion {
        Deletion::Key(_) => None,
        Deletion::Record(_, peer) => {
            let fingerprint = layout.fingerprint(&peer);
            let rows = peers.rows(keys, &layout, [fingerprint]).await;
            if let Some(fault) = rows.failed.get(&fingerprint) {
                return Err(fault.clone());
            }
            if rows.found.get(&fingerprint).is_some_and(|row| row.peer != peer) {
                // The records of this fingerprint are those of another peer.
                return Ok(Deleted::new(0, DeleteProgress::Done));
            }
            Some(fingerprint)
        }
    };
    let (gone, left) = match layout.form {
        Form::Buckets { .. } => of_bucket(keys, &layout, deletion.key(), provider, limit).await?,
        Form::Plain => of_set(keys, &layout, deletion.key(), provider, limit).await?,
    };
    let is_done = provider.is_some() || left == 0;
    Ok(Deleted::new(gone, if is_done { DeleteProgress::Done } else { DeleteProgress::More }))
}

/// How many records were removed, and how many of the key are left.
async fn of_bucket(
    keys: &Keyspace,
    layout: &Layout,
    key: &ContentKey,
    provider: Option<Fingerprint>,
    limit: u32,
) -> Result<(u64, u64), Fault> {
    let bucket = layout.bucket(key);
    let count = layout.count(bucket.partition);
    let mut command = scripts::DELETE.call(&[&bucket.bytes, &count.bytes]);
    let provider = provider.as_ref().map_or(&[][..], |provider| &provider[..]);
    command.arg(layout::field(key)).arg(provider).arg(limit);
    let request = Request { slot: bucket.slot, command, script: Some(&scripts::DELETE) };
    let said = keys.fleet.ask(request).await?;
    redis::from_redis_value(said).map_err(not_understood)
}

/// The same without scripts.
async fn of_set(
    keys: &Keyspace,
    layout: &Layout,
    key: &ContentKey,
    provider: Option<Fingerprint>,
    limit: u32,
) -> Result<(u64, u64), Fault> {
    let name = layout.plain(key);
    let members: Vec<Vec<u8>> = match provider {
        Some(provider) => vec![provider.to_vec()],
        None => {
            let mut some = redis::cmd("ZRANGE");
            some.arg(&name.bytes).arg(0).arg(limit.saturating_sub(1));
            redis::from_redis_value(keys.ask(&name, some).await?).map_err(not_understood)?
        }
    };
    if members.is_empty() {
        return Ok((0, 0));
    }
    let mut remove = redis::cmd("ZREM");
    remove.arg(&name.bytes).arg(&members);
    let gone: i64 = redis::from_redis_value(keys.ask(&name, remove).await?).map_err(not_understood)?;
    plain::count(keys, layout, HashMap::from([(name.partition, -gone)])).await;
    let mut left = redis::cmd("ZCARD");
    left.arg(&name.bytes);
    let left = redis::from_redis_value(keys.ask(&name, left).await?).map_err(not_understood)?;
    Ok((u64::try_from(gone).unwrap_or_default(), left))
}

fn not_understood(cause: redis::ParsingError) -> Fault {
    Fault::nobody(&format!("an answer that is not understood: {cause}"))
}

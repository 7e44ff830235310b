//! Buckets one after another, each in the order of its fields.

use super::place::{Bucket, Place, Within};
use super::{Entry, Filling, set};
use crate::keyspace::Keyspace;
use crate::layout::{self, Fingerprint, Layout, Name, PARTITIONS};
use crate::net::{Fault, Request};
use crate::read;
use crate::scripts::MANY;
use redis::Value;
use std::collections::BTreeMap;

/// Buckets of one round trip.
const BUCKETS: usize = 64;
/// Round trips of one page: it may have no records where there are few.
const ROUNDS_MAX: usize = 16;
/// Fields of one request for a bucket that is too large to be a list.
const FIELDS: usize = 1000;

/// The fields of a bucket with their values, in order.
type Fields = BTreeMap<Vec<u8>, Vec<u8>>;

/// What HSCAN says: where the next step begins, and some fields with their values.
type Step = (String, Vec<(Vec<u8>, Vec<u8>)>);

/// Fills a page; where the next one begins, none at the end.
pub(super) async fn fill(
    keys: &Keyspace,
    layout: &Layout,
    mut place: Bucket,
    page: &mut Filling,
) -> Result<Option<Place>, Fault> {
    for _ in 0..ROUNDS_MAX {
        let names: Vec<Name> = layout.buckets(place.partition, place.bucket).take(BUCKETS).collect();
        let requests: Vec<_> = names.iter().map(|name| request(name, "0")).collect();
        let answers = keys.fleet.send(&requests).await;
        for (name, answer) in names.iter().zip(answers) {
            let fields = whole(keys, name, answer?).await?;
            let after = fill_from(keys, layout, name, fields, place.after.take(), page).await?;
            if after.is_some() || page.room() == 0 {
                place.after = after;
                if place.after.is_none() {
                    place.bucket += 1;
                }
                return Ok(Some(Place::Bucket(place)));
            }
            place.bucket += 1;
        }
        if names.len() < BUCKETS {
            (place.partition, place.bucket) = (place.partition + 1, 0);
            if place.partition >= PARTITIONS {
                return Ok(None);
            }
        }
    }
    Ok(Some(Place::Bucket(place)))
}

fn request(name: &Name, cursor: &str) -> Request {
    let mut command = redis::cmd("HSCAN");
    command.arg(&name.bytes).arg(cursor).arg("COUNT").arg(FIELDS);
    Request { slot: name.slot, command, script: None }
}

/// All fields of a bucket, after the first answer. A list comes in one piece; a larger bucket is walked in steps, and is put
/// in order here: the order of its steps is the server's own and ends with it.
async fn whole(keys: &Keyspace, name: &Name, first: Value) -> Result<Fields, Fault> {
    let (mut fields, mut answer) = (Fields::new(), first);
    loop {
        let (cursor, step): Step = redis::from_redis_value(answer).map_err(Fault::unreadable)?;
        fields.extend(step);
        if cursor == "0" {
            return Ok(fields);
        }
        answer = keys.fleet.ask(request(name, &cursor)).await?;
    }
}

/// Adds the living of a bucket to a page. The field at which the page was full; none if the bucket is done.
async fn fill_from(
    keys: &Keyspace,
    layout: &Layout,
    bucket: &Name,
    fields: Fields,
    after: Option<(Vec<u8>, Within)>,
    page: &mut Filling,
) -> Result<Option<(Vec<u8>, Within)>, Fault> {
    let (from, mut done) = after.map_or((Vec::new(), None), |(field, within)| (field, Some(within)));
    for (field, value) in fields.range(from.clone()..) {
        let done = done.take().filter(|_| *field == from);
        let Some(key) = layout::key_of(field) else { continue };
        let within = match (&value[..], done) {
            (_, Some(Within::Whole)) => Within::Whole,
            (MANY, done) => set::fill(keys, &layout.many(bucket, &key), key, done, page).await?,
            (packed, done) => {
                let done = match done {
                    Some(Within::Packed(done)) => Some(done),
                    // It was a sorted set, all of whose records are gone.
                    Some(Within::Set(..) | Within::Whole | Within::Nothing) | None => None,
                };
                fill_packed(packed, key, done, page)
            }
        };
        if within != Within::Whole {
            return Ok(Some((field.clone(), within)));
        }
    }
    Ok(None)
}

/// Adds the living of a packed value after a provider. What of it is done afterwards.
fn fill_packed(
    packed: &[u8],
    key: hydra_api::ContentKey,
    done: Option<Fingerprint>,
    page: &mut Filling,
) -> Within {
    let mut living = read::unpack(packed, page.now);
    living.retain(|entry| done.is_none_or(|done| entry.fingerprint > done));
    living.sort_unstable_by_key(|entry| entry.fingerprint);
    let mut last = done;
    for entry in living {
        if page.room() == 0 {
            return last.map_or(Within::Nothing, Within::Packed);
        }
        page.entries.push(Entry { key, fingerprint: entry.fingerprint, expires: entry.expires });
        last = Some(entry.fingerprint);
    }
    Within::Whole
}

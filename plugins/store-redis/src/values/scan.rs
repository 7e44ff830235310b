//! All value records, page by page: one partition after another, each in the order of its keys.
//!
//! The index of a partition is in the order of expiries, and a put may move a record back in it. So all of an index is read for each
//! page, in steps of `ZSCAN`, which leaves out nothing that is there all the time, and put in order here.

use super::get;
use crate::keyspace::Keyspace;
use crate::layout::{Layout, Name, PARTITIONS};
use crate::net::{Fault, Request};
use hydra_api::{Cursor, FoundValue, StoreError, UnixSeconds, ValueKey, ValuePage};
use std::collections::BTreeSet;
use std::num::NonZeroU32;

const OPERATION: &str = "scan_values";

/// Marks a cursor as one of the value records of this kind of store.
const TAG: u8 = b'R';
/// Members of one step.
const MEMBERS: usize = 1000;
/// Partitions whose indexes are asked for in one round trip, and round trips of one page: it may have no records where there are few.
const PARTITIONS_PER_ROUND: u16 = 64;
const ROUNDS_MAX: usize = 16;
/// Records of a page, whatever its limit: 10 MiB at most.
const PAGE_LEN_MAX: usize = 1024;

/// A partition, and the key up to which it is done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Place {
    partition: u16,
    after: Option<ValueKey>,
}

/// What ZSCAN says: where the next step begins, and some members with their scores.
type Step = (String, Vec<(Vec<u8>, String)>);

impl Place {
    fn cursor(&self, layout: &Layout) -> Option<Cursor> {
        let after = self.after.as_ref().map_or(&[][..], ValueKey::as_bytes);
        Cursor::new([&[TAG][..], &layout.salt()[..4], &self.partition.to_be_bytes(), after].concat()).ok()
    }

    /// The place of a cursor; none if it is not one of these keys.
    fn of_cursor(cursor: &Cursor, layout: &Layout) -> Option<Self> {
        let rest = cursor.as_bytes().strip_prefix(&[TAG])?.strip_prefix(&layout.salt()[..4])?;
        let (partition, after) = rest.split_first_chunk()?;
        let partition = Some(u16::from_be_bytes(*partition)).filter(|partition| *partition < PARTITIONS)?;
        let after = (!after.is_empty()).then(|| ValueKey::new(after)).transpose().ok()?;
        Some(Self { partition, after })
    }
}

/// The live records from a cursor on.
pub(super) async fn page(
    keys: &Keyspace,
    from: Option<Cursor>,
    now: UnixSeconds,
    limit: NonZeroU32,
) -> Result<ValuePage, StoreError> {
    let layout = keys.layout();
    let place = from.map(|cursor| {
        Place::of_cursor(&cursor, &layout).ok_or_else(|| StoreError::foreign_cursor(OPERATION))
    });
    let place = place.transpose()?.unwrap_or_default();
    let limit = usize::try_from(limit.get()).unwrap_or(usize::MAX).min(PAGE_LEN_MAX);
    let filled = fill(keys, &layout, place, limit).await;
    let (asked, next) = filled.map_err(|fault| fault.into_error(OPERATION))?;
    let found = if asked.is_empty() { Vec::new() } else { get(keys, &asked, now).await? };
    let mut records = Vec::with_capacity(found.len());
    for (key, found) in asked.into_iter().zip(found) {
        match found {
            FoundValue::Known(Some(record)) => records.push((key, record)),
            FoundValue::Known(None) => {}
            FoundValue::Unknown(kind) => return Err(StoreError::new(kind, OPERATION)),
        }
    }
    Ok(ValuePage::new(records, next.and_then(|place| place.cursor(&layout))))
}

/// The keys of a page, and where the next one begins; none at the end.
async fn fill(
    keys: &Keyspace,
    layout: &Layout,
    mut place: Place,
    limit: usize,
) -> Result<(Vec<ValueKey>, Option<Place>), Fault> {
    let mut page = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let end = place.partition.saturating_add(PARTITIONS_PER_ROUND).min(PARTITIONS);
        let names: Vec<_> = (place.partition..end).map(|partition| layout.value_index(partition)).collect();
        let requests: Vec<_> = names.iter().map(|name| request(name, "0")).collect();
        for (name, first) in names.iter().zip(keys.fleet.send(&requests).await) {
            let members = whole(keys, name, first?).await?;
            let after = place.after.take();
            let left = members.into_iter().filter(|key| after.is_none_or(|after| *key > after));
            for key in left {
                if page.len() == limit {
                    return Ok((page, Some(place)));
                }
                page.push(key);
                place.after = Some(key);
            }
            place = Place { partition: place.partition + 1, after: None };
        }
        if place.partition >= PARTITIONS {
            return Ok((page, None));
        }
    }
    Ok((page, Some(place)))
}

fn request(name: &Name, cursor: &str) -> Request {
    let mut command = redis::cmd("ZSCAN");
    command.arg(&name.bytes).arg(cursor).arg("COUNT").arg(MEMBERS);
    Request { slot: name.slot, command, script: None }
}

/// All members of an index, after the first answer.
async fn whole(keys: &Keyspace, name: &Name, first: redis::Value) -> Result<BTreeSet<ValueKey>, Fault> {
    let (mut members, mut answer) = (BTreeSet::new(), first);
    loop {
        let (cursor, step): Step = redis::from_redis_value(answer).map_err(Fault::unreadable)?;
        members.extend(step.into_iter().filter_map(|(key, _)| ValueKey::new(&key).ok()));
        if cursor == "0" {
            return Ok(members);
        }
        answer = keys.fleet.ask(request(name, &cursor)).await?;
    }
}

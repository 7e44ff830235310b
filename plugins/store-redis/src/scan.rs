//! All records, page by page. No command looks at more than a part of a large key.

mod buckets;
mod place;
mod plain;
mod set;

use crate::keyspace::Keyspace;
use crate::layout::{Fingerprint, Form};
use crate::peers::Peers;
use hydra_api::{ContentKey, Cursor, KeyProvider, Page, Provider, StoreError, UnixSeconds};
use place::{Place, PlainPlace};
use std::num::NonZeroU32;

/// A record before its peer is looked up.
#[derive(Debug, Clone, Copy)]
struct Entry {
    key: ContentKey,
    fingerprint: Fingerprint,
    expires: UnixSeconds,
}

/// A page that is being filled.
#[derive(Debug)]
struct Filling {
    entries: Vec<Entry>,
    now: UnixSeconds,
    limit: usize,
}

impl Filling {
    fn room(&self) -> usize {
        self.limit - self.entries.len()
    }
}

/// The records from a cursor on.
pub(crate) async fn page(
    keys: &Keyspace,
    peers: &Peers,
    from: Option<Cursor>,
    (now, limit): (UnixSeconds, NonZeroU32),
) -> Result<Page, StoreError> {
    const OPERATION: &str = "scan";
    let layout = keys.layout();
    let limit = usize::try_from(limit.get()).unwrap_or(usize::MAX);
    let mut page = Filling { entries: Vec::new(), now, limit };
    let foreign = || StoreError::foreign_cursor(OPERATION);
    let place = from.map(|cursor| Place::of_cursor(&cursor, &layout).ok_or_else(foreign)).transpose()?;
    let next = match (layout.form, place) {
        (Form::Buckets { .. }, None) => {
            buckets::fill(keys, &layout, place::Bucket::default(), &mut page).await
        }
        (Form::Buckets { .. }, Some(Place::Bucket(place))) => {
            buckets::fill(keys, &layout, place, &mut page).await
        }
        (Form::Plain, None) => plain::fill(keys, &layout, PlainPlace::default(), &mut page).await,
        (Form::Plain, Some(Place::Plain(place))) => plain::fill(keys, &layout, place, &mut page).await,
        _ => return Err(foreign()),
    };
    let next = next.map_err(|fault| fault.into_error(OPERATION))?;
    let rows = peers.rows(keys, &layout, page.entries.iter().map(|entry| entry.fingerprint)).await;
    if let Some(fault) = page.entries.iter().find_map(|entry| rows.failed.get(&entry.fingerprint)) {
        return Err(fault.clone().into_error(OPERATION));
    }
    let record = |Entry { key, fingerprint, expires }: Entry| {
        // Half a record reads as none.
        let row = rows.found.get(&fingerprint)?;
        let (peer, addresses, addresses_at) = (row.peer, row.addresses.clone(), row.addresses_at);
        Some(KeyProvider { key, provider: Provider { peer, addresses, addresses_at, expires } })
    };
    let next = next.and_then(|place| place.cursor(&layout));
    Ok(Page::new(page.entries.into_iter().filter_map(record).collect(), next))
}

//! All records, page by page, in the order of the primary key.

use crate::connections::Connections;
use crate::peers::Peers;
use crate::schema::Tables;
use crate::time::of_column;
use hydra_api::{ContentKey, Cursor, KeyProvider, Page, Provider, StoreError, UnixSeconds};
use sqlx::{AssertSqlSafe, Row};
use std::num::NonZeroU32;

/// Marks a cursor as one of this kind of store.
const TAG: u8 = b'p';

/// Expired rows are read too: however many there are, a page is one short walk along the index.
const SCAN: &str = "
SELECT key, provider, expires FROM {s}.records WHERE (key, provider) > ($1, $2) ORDER BY key, provider LIMIT $3";

/// The last row that was read: its key, none before the first, and its provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    key: Vec<u8>,
    provider: i32,
}

impl Place {
    /// Before the first row: no key is empty.
    fn first() -> Self {
        Self { key: Vec::new(), provider: i32::MIN }
    }

    fn cursor(&self) -> Option<Cursor> {
        Cursor::new([&[TAG][..], &self.provider.to_be_bytes(), &self.key].concat()).ok()
    }

    fn of_cursor(cursor: &Cursor) -> Option<Self> {
        let rest = cursor.as_bytes().strip_prefix(&[TAG])?;
        let (provider, key) = rest.split_first_chunk::<4>()?;
        let key = ContentKey::new(key).ok()?.as_bytes().to_vec();
        Some(Self { key, provider: i32::from_be_bytes(*provider) })
    }
}

/// One row.
struct Entry {
    key: Vec<u8>,
    provider: i32,
    expires: UnixSeconds,
}

/// The records of up to `limit` rows.
pub(crate) async fn page(
    connections: &Connections,
    tables: &Tables,
    peers: &Peers,
    from: Option<Cursor>,
    (now, limit): (UnixSeconds, NonZeroU32),
) -> Result<Page, StoreError> {
    let place = match &from {
        None => Place::first(),
        Some(cursor) => Place::of_cursor(cursor).ok_or_else(|| StoreError::foreign_cursor("scan"))?,
    };
    let (text, persistent) = (tables.sql(SCAN), connections.is_prepared());
    let entries = connections
        .run("scan", move |connection| {
            Box::pin(async move {
                let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                let query = query.bind(place.key).bind(place.provider).bind(i64::from(limit.get()));
                let rows = query.fetch_all(connection).await?;
                let entry = |row: &sqlx::postgres::PgRow| {
                    let expires = of_column(row.try_get(2)?);
                    Ok(Entry { key: row.try_get(0)?, provider: row.try_get(1)?, expires })
                };
                rows.iter().map(entry).collect::<Result<Vec<_>, sqlx::Error>>()
            })
        })
        .await?;
    connections.count_rows("scan", entries.len());
    let is_last = entries.len() < usize::try_from(limit.get()).unwrap_or(usize::MAX);
    let last = entries.last().map(|entry| Place { key: entry.key.clone(), provider: entry.provider });
    let next = last.filter(|_| !is_last).and_then(|place| place.cursor());
    let live: Vec<_> = entries.into_iter().filter(|entry| entry.expires > now).collect();
    let known = peers.by_ids(connections, tables, live.iter().map(|entry| entry.provider)).await?;
    let record = |entry: &Entry| {
        // A row that was changed by hand may have no key or no peer.
        let (key, known) = (ContentKey::new(&entry.key).ok()?, known.get(&entry.provider)?);
        let (peer, addresses, addresses_at) = (known.peer, known.addresses.clone(), known.addresses_at);
        let provider = Provider { peer, addresses, addresses_at, expires: entry.expires };
        Some(KeyProvider { key, provider })
    };
    Ok(Page::new(live.iter().filter_map(record).collect(), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_names_its_row() {
        let place = Place { key: vec![1, 2, 3], provider: -7 };
        let cursor = place.cursor().unwrap();
        assert_eq!(Place::of_cursor(&cursor), Some(place));
        assert_eq!(Place::of_cursor(&Cursor::new(vec![TAG, 0, 0, 0, 0]).unwrap()), None);
    }
}

//! Value records: a table of their own with one row for each key.

use crate::connections::Connections;
use crate::estimate;
use crate::schema::Tables;
use crate::store::Postgres;
use crate::time::{of_column, to_column};
use bytes::Bytes;
use hydra_api::{
    Cursor, FoundValue, Purged, PutOutcome, StoreError, UnixSeconds, ValueEstimate, ValueKey, ValuePage,
    ValuePut, ValueRecord, ValueStore, async_trait,
};
use hydra_remote::rounds;
use sqlx::{AssertSqlSafe, Row};
use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// One look into the index for each key, however few rows the planner believes in.
const READ: &str = "
SELECT u.i::int4, r.value, r.received, r.expires FROM unnest($1::bytea[]) WITH ORDINALITY u (key, i)
CROSS JOIN LATERAL (
    SELECT value, received, expires FROM {s}.value_records WHERE key = u.key AND expires > $2 LIMIT 1) r";

/// Compares and sets, in the order of the keys: two writers lock rows in one order, so that there is no deadlock.
///
/// A put whose key has something else in the snapshot writes and locks nothing. For the others `ON CONFLICT` waits for rivals, and
/// compares with the row that is the latest then, whether the snapshot has it or not. A row that the snapshot has and that a purge or a
/// deletion takes meanwhile leaves nothing to compare with: a put that has seen something becomes a row that never lived (`$7`), which
/// counts as nothing until the next put or purge, and that is no success.
const PUT: &str = "
INSERT INTO {s}.value_records AS r (key, value, received, expires)
SELECT u.key, u.value, u.received, CASE WHEN u.seen IS NULL THEN u.expires ELSE $7 END
FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::int4[], $5::int4[]) u (key, seen, value, received, expires)
LEFT JOIN LATERAL (SELECT value, expires FROM {s}.value_records WHERE key = u.key LIMIT 1) old ON true
WHERE CASE WHEN old.expires > $6 THEN old.value = u.seen ELSE u.seen IS NULL END
ORDER BY u.key
ON CONFLICT (key) DO UPDATE SET value = excluded.value, received = excluded.received,
    expires = ($5::int4[])[array_position($1::bytea[], excluded.key)]
WHERE CASE WHEN r.expires > $6 THEN r.value = ($2::bytea[])[array_position($1::bytea[], excluded.key)]
    ELSE ($2::bytea[])[array_position($1::bytea[], excluded.key)] IS NULL END
RETURNING r.key, r.expires > $7";

/// Expired rows are read too: however many there are, a page is one short walk along the index.
const SCAN: &str = "
SELECT key, value, received, expires FROM {s}.value_records WHERE key > $1 ORDER BY key LIMIT $2";

/// Marks a cursor as one of the value records of this kind of store.
const TAG: u8 = b'P';

/// Rows of a page, whatever its limit: 10 MiB at most.
const PAGE_LEN_MAX: u32 = 1024;

/// The expiry of a row that never lived.
const NEVER: i32 = i32::MIN;

/// Locks rows in the order in which writers lock them: no deadlock.
const DELETE: &str = "
WITH gone AS (SELECT key FROM {s}.value_records WHERE key = ANY($1::bytea[]) ORDER BY key FOR UPDATE)
DELETE FROM {s}.value_records r USING gone WHERE r.key = gone.key";

/// The records on some pages, the bytes of their keys and values, and the share of all pages that these are. The length of a value that
/// is kept beside its row is in the row.
const SAMPLE: &str = "
SELECT count(*), coalesce(sum(octet_length(key) + octet_length(value)), 0)::int8, {share}
FROM {s}.value_records TABLESAMPLE SYSTEM ((100 * {share})::real)";

#[async_trait]
impl ValueStore for Postgres {
    async fn get(&self, keys: Arc<[ValueKey]>, now: UnixSeconds) -> Result<Vec<FoundValue>, StoreError> {
        self.open_for("get")?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        get(&self.connections, &self.tables, keys, now).await
    }

    async fn put_if(&self, batch: Arc<[ValuePut]>, now: UnixSeconds) -> Result<Vec<PutOutcome>, StoreError> {
        self.open_for("put_if")?;
        let mut outcomes = vec![PutOutcome::Changed; batch.len()];
        let mut rounds = rounds(batch.iter().map(|put| put.key)).into_iter().enumerate();
        for (nth, mut places) in rounds.by_ref() {
            places.sort_unstable_by_key(|at| batch[*at].key);
            let stored = put(&self.connections, &self.tables, Arc::clone(&batch), places.clone(), now).await;
            match stored {
                Ok(stored) => {
                    places.into_iter().filter(|at| stored.contains(&batch[*at].key)).for_each(|at| {
                        outcomes[at] = PutOutcome::Stored;
                    })
                }
                Err(error) if nth == 0 => return Err(error),
                Err(error) => {
                    tracing::debug!(error = %hydra_api::Causes(&error), "a part of a put has failed");
                    let left = places.into_iter().chain(rounds.flat_map(|(_, places)| places));
                    left.for_each(|at| outcomes[at] = PutOutcome::Unknown(error.kind()));
                    break;
                }
            }
        }
        Ok(outcomes)
    }

    async fn purge_values(&self, now: UnixSeconds, limit: NonZeroU32) -> Result<Purged, StoreError> {
        self.open_for("purge_values")?;
        self.purge.step_of_values(&self.connections, &self.tables, now, limit.get()).await
    }

    async fn estimate_values(&self) -> Result<ValueEstimate, StoreError> {
        self.open_for("estimate_values")?;
        let text = self.tables.sql(&SAMPLE.replace("{share}", &estimate::share_of("value_records")));
        let persistent = self.connections.is_prepared();
        let (records, bytes) = self
            .connections
            .run("estimate_values", move |connection| {
                Box::pin(async move {
                    let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent).bind(estimate::PAGES);
                    let row = query.fetch_one(connection).await?;
                    let (records, bytes): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
                    let share: f64 = row.try_get(2)?;
                    Ok((records as f64 / share, bytes as f64 / share))
                })
            })
            .await?;
        Ok(ValueEstimate::new(records as u64, bytes as u64, Duration::ZERO))
    }

    async fn delete_values(&self, keys: Arc<[ValueKey]>) -> Result<u64, StoreError> {
        self.open_for("delete_values")?;
        if keys.is_empty() {
            return Ok(0);
        }
        let (text, persistent) = (self.tables.sql(DELETE), self.connections.is_prepared());
        let removed = self
            .connections
            .run("delete_values", move |connection| {
                Box::pin(async move {
                    let keys: Vec<&[u8]> = keys.iter().map(ValueKey::as_bytes).collect();
                    let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent).bind(keys);
                    Ok(query.execute(connection).await?.rows_affected())
                })
            })
            .await?;
        self.connections.count_rows("delete_values", usize::try_from(removed).unwrap_or(usize::MAX));
        Ok(removed)
    }

    async fn scan_values(
        &self,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<ValuePage, StoreError> {
        self.open_for("scan_values")?;
        let after = match &from {
            // No key is empty.
            None => Vec::new(),
            Some(cursor) => {
                let key = cursor.as_bytes().strip_prefix(&[TAG]).and_then(|key| ValueKey::new(key).ok());
                key.ok_or_else(|| StoreError::foreign_cursor("scan_values"))?.as_bytes().to_vec()
            }
        };
        page(&self.connections, &self.tables, after, now, limit.get().min(PAGE_LEN_MAX)).await
    }
}

async fn get(
    connections: &Connections,
    tables: &Tables,
    keys: Arc<[ValueKey]>,
    now: UnixSeconds,
) -> Result<Vec<FoundValue>, StoreError> {
    let (text, persistent) = (tables.sql(READ), connections.is_prepared());
    let mut found = vec![FoundValue::Known(None); keys.len()];
    let rows = connections
        .run("get", move |connection| {
            Box::pin(async move {
                let keys: Vec<&[u8]> = keys.iter().map(ValueKey::as_bytes).collect();
                let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                let rows = query.bind(keys).bind(to_column(now)).fetch_all(connection).await?;
                let row = |row: &sqlx::postgres::PgRow| Ok((row.try_get::<i32, _>(0)?, record(row)?));
                rows.iter().map(row).collect::<Result<Vec<_>, sqlx::Error>>()
            })
        })
        .await?;
    connections.count_rows("get", rows.len());
    for (nth, record) in rows {
        // They are numbered from one on.
        if let Some(found) = usize::try_from(nth).ok().and_then(|nth| found.get_mut(nth.checked_sub(1)?)) {
            *found = FoundValue::Known(Some(record));
        }
    }
    Ok(found)
}

/// The live records of up to `limit` rows after a key.
async fn page(
    connections: &Connections,
    tables: &Tables,
    after: Vec<u8>,
    now: UnixSeconds,
    limit: u32,
) -> Result<ValuePage, StoreError> {
    let (text, persistent) = (tables.sql(SCAN), connections.is_prepared());
    let rows = connections
        .run("scan_values", move |connection| {
            Box::pin(async move {
                let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                let rows = query.bind(after).bind(i64::from(limit)).fetch_all(connection).await?;
                let row = |row: &sqlx::postgres::PgRow| Ok((row.try_get::<Vec<u8>, _>(0)?, record(row)?));
                rows.iter().map(row).collect::<Result<Vec<_>, sqlx::Error>>()
            })
        })
        .await?;
    connections.count_rows("scan_values", rows.len());
    let is_last = rows.len() < limit as usize;
    let next = rows.last().filter(|_| !is_last);
    let next = next.and_then(|(key, _)| Cursor::new([&[TAG][..], key].concat()).ok());
    let live = rows.into_iter().filter(|(_, record)| record.expires > now);
    // A row that was changed by hand may have no key.
    let records = live.filter_map(|(key, record)| Some((ValueKey::new(&key).ok()?, record)));
    Ok(ValuePage::new(records.collect(), next))
}

/// The record of a row, after its first column.
fn record(row: &sqlx::postgres::PgRow) -> Result<ValueRecord, sqlx::Error> {
    Ok(ValueRecord {
        value: Bytes::from(row.try_get::<Vec<u8>, _>(1)?),
        received: of_column(row.try_get(2)?),
        expires: of_column(row.try_get(3)?),
    })
}

/// Puts some records of a batch, each key once; the keys that have theirs now.
async fn put(
    connections: &Connections,
    tables: &Tables,
    batch: Arc<[ValuePut]>,
    places: Vec<usize>,
    now: UnixSeconds,
) -> Result<HashSet<ValueKey>, StoreError> {
    let (text, persistent) = (tables.sql(PUT), connections.is_prepared());
    connections.count_rows("put_if", places.len());
    connections
        .run("put_if", move |connection| {
            Box::pin(async move {
                let puts = || places.iter().map(|at| &batch[*at]);
                let keys: Vec<&[u8]> = puts().map(|put| put.key.as_bytes()).collect();
                let seen: Vec<Option<&[u8]>> = puts().map(|put| put.seen.as_deref()).collect();
                let values: Vec<&[u8]> = puts().map(|put| &put.record.value[..]).collect();
                let received: Vec<i32> = puts().map(|put| to_column(put.record.received)).collect();
                let expires: Vec<i32> =
                    puts().map(|put| to_column(put.record.expires).max(NEVER + 1)).collect();
                let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                let query = query.bind(keys).bind(seen).bind(values).bind(received).bind(expires);
                let rows = query.bind(to_column(now)).bind(NEVER).fetch_all(connection).await?;
                let mut stored = HashSet::with_capacity(rows.len());
                for row in &rows {
                    if row.try_get(1)? {
                        stored.extend(ValueKey::new(row.try_get(0)?));
                    }
                }
                Ok(stored)
            })
        })
        .await
}

//! Writing a batch.

use crate::connections::Connections;
use crate::peers::Peers;
use crate::schema::Tables;
use crate::time::to_column;
use hydra_api::{
    ContentKey, Inserted, PeerId, ProviderRecord, RecordOutcome, StoreError, StoreErrorKind, UnixSeconds,
};
use hydra_remote::ProviderNews;
use sqlx::AssertSqlSafe;
use std::collections::HashMap;
use std::time::Duration;

/// A refresh that moves the expiry by less than this part of the record's life is left out.
const SLACK_PART: u32 = 48;

/// Rows that live long enough are filtered out before the insert: an `ON CONFLICT … WHERE` would lock and log them too.
const INSERT: &str = "
INSERT INTO {s}.records (key, provider, expires)
SELECT u.key, u.provider, u.expires FROM unnest($1::bytea[], $2::int4[], $3::int4[], $4::int4[]) u (key, provider, expires, enough)
WHERE NOT EXISTS (
    SELECT FROM {s}.records r WHERE r.key = u.key AND r.provider = u.provider AND r.expires >= u.enough)
ON CONFLICT (key, provider) DO UPDATE SET expires = greatest(records.expires, excluded.expires)";

/// A row to be written.
struct Row<'b> {
    key: &'b ContentKey,
    provider: i32,
    expires: UnixSeconds,
}

/// Stores a batch: the peers first, then the records in one statement.
pub(crate) async fn insert(
    connections: &Connections,
    tables: &Tables,
    peers: &Peers,
    batch: &[ProviderRecord],
    (now, slack): (UnixSeconds, Duration),
) -> Result<Inserted, StoreError> {
    let ids = peers.write(connections, tables, ProviderNews::of_batch(batch), now).await?;
    let rows = rows(batch, &ids, now);
    if !rows.is_empty() {
        write(connections, tables, &rows, (now, slack)).await?;
    }
    let outcome = |record: &ProviderRecord| match record.expires <= now || ids.contains_key(&record.provider)
    {
        true => RecordOutcome::Taken,
        // Its peer was purged or forgotten between two statements: the next try finds it.
        false => RecordOutcome::Unknown(StoreErrorKind::Overloaded),
    };
    Ok(Inserted::of(batch.iter().map(outcome).collect()))
}

/// The rows of a batch, each living key and provider once, in the order of the index.
fn rows<'b>(batch: &'b [ProviderRecord], ids: &HashMap<PeerId, i32>, now: UnixSeconds) -> Vec<Row<'b>> {
    let row = |record: &'b ProviderRecord| {
        let provider = *ids.get(&record.provider)?;
        Some(Row { key: &record.key, provider, expires: record.expires })
    };
    let mut rows: Vec<Row<'b>> = batch.iter().filter(|record| record.expires > now).filter_map(row).collect();
    rows.sort_unstable_by(|one, other| {
        let by_place = (one.key.as_bytes(), one.provider).cmp(&(other.key.as_bytes(), other.provider));
        by_place.then(other.expires.cmp(&one.expires))
    });
    rows.dedup_by(|later, kept| later.key == kept.key && later.provider == kept.provider);
    rows
}

async fn write(
    connections: &Connections,
    tables: &Tables,
    rows: &[Row<'_>],
    (now, slack): (UnixSeconds, Duration),
) -> Result<(), StoreError> {
    let keys: Vec<Vec<u8>> = rows.iter().map(|row| row.key.as_bytes().to_vec()).collect();
    let providers: Vec<i32> = rows.iter().map(|row| row.provider).collect();
    let expires: Vec<i32> = rows.iter().map(|row| to_column(row.expires)).collect();
    let enough = rows.iter().map(|row| {
        let slack = slack.min(row.expires.since(now) / SLACK_PART);
        to_column(row.expires.saturating_sub(slack))
    });
    let enough: Vec<i32> = enough.collect();
    let (text, persistent) = (tables.sql(INSERT), connections.is_prepared());
    connections
        .run("insert", move |connection| {
            Box::pin(async move {
                let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                query.bind(keys).bind(providers).bind(expires).bind(enough).execute(connection).await
            })
        })
        .await
        .map(drop)
}

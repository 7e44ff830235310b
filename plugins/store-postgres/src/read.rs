//! Reading a batch of keys.

use crate::connections::Connections;
use crate::peers::Peers;
use crate::schema::Tables;
use crate::time::{of_column, to_column};
use hydra_api::{ContentKey, Found, Provider, StoreError, UnixSeconds};
use rand::RngExt;
use sqlx::{AssertSqlSafe, Row};
use std::num::NonZeroU32;
use std::sync::Arc;

/// The limit of each key is in the statement: a key with 30,000 providers costs as much as one with the limit.
const READ: &str = "
SELECT u.i::int4, r.provider, r.expires FROM unnest($1::bytea[]) WITH ORDINALITY u (key, i)
CROSS JOIN LATERAL (
    SELECT provider, expires FROM {s}.records WHERE key = u.key AND expires > $2 LIMIT $3) r";

/// The same from a provider on, and from the first one if there are fewer: which ones are left out changes.
const READ_FROM: &str = "
SELECT u.i::int4, r.provider, r.expires FROM unnest($1::bytea[]) WITH ORDINALITY u (key, i)
CROSS JOIN LATERAL (
    (SELECT provider, expires FROM {s}.records WHERE key = u.key AND expires > $2 AND provider >= $4
        ORDER BY provider LIMIT $3)
    UNION ALL
    (SELECT provider, expires FROM {s}.records WHERE key = u.key AND expires > $2 AND provider < $4
        ORDER BY provider LIMIT $3)
    LIMIT $3) r";

/// A provider of the key at this place in the batch.
#[derive(Debug, Clone, Copy)]
struct Entry {
    at: usize,
    provider: i32,
    expires: UnixSeconds,
}

/// The live providers of each key.
pub(crate) async fn providers(
    connections: &Connections,
    tables: &Tables,
    peers: &Peers,
    keys: &Arc<[ContentKey]>,
    (now, limit): (UnixSeconds, NonZeroU32),
) -> Result<Vec<Found>, StoreError> {
    let limit = usize::try_from(limit.get()).unwrap_or(usize::MAX);
    let all: Vec<usize> = (0..keys.len()).collect();
    let entries = entries(connections, tables.sql(READ), (keys, all), (now, limit), None).await?;
    let mut found = vec![Vec::new(); keys.len()];
    for entry in &entries {
        if let Some(of_key) = found.get_mut(entry.at) {
            of_key.push(*entry);
        }
    }
    let full: Vec<usize> = (0..found.len()).filter(|at| found[*at].len() >= limit).collect();
    if let Some(highest) = full.iter().flat_map(|at| &found[*at]).map(|entry| entry.provider).max() {
        // The numbers of one answer say how high they go; a random start among twice as many reaches all in time.
        let from = rand::rng().random_range(0..=highest.saturating_mul(2).max(1));
        full.iter().for_each(|at| found[*at].clear());
        let again =
            self::entries(connections, tables.sql(READ_FROM), (keys, full), (now, limit), Some(from)).await?;
        again.into_iter().for_each(|entry| found[entry.at].push(entry));
    }
    let ids = found.iter().flatten().map(|entry| entry.provider);
    let known = peers.by_ids(connections, tables, ids).await?;
    let provider = |entry: Entry| {
        let known = known.get(&entry.provider)?;
        let (peer, addresses, addresses_at) = (known.peer, known.addresses.clone(), known.addresses_at);
        Some(Provider { peer, addresses, addresses_at, expires: entry.expires })
    };
    let of_key = |mut entries: Vec<Entry>| {
        entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.expires));
        Found::Known(entries.into_iter().filter_map(provider).collect())
    };
    Ok(found.into_iter().map(of_key).collect())
}

/// The entries of the keys at `places` in the batch.
async fn entries(
    connections: &Connections,
    text: String,
    (keys, places): (&Arc<[ContentKey]>, Vec<usize>),
    (now, limit): (UnixSeconds, usize),
    from: Option<i32>,
) -> Result<Vec<Entry>, StoreError> {
    let (keys, persistent) = (Arc::clone(keys), connections.is_prepared());
    let entries: Vec<Entry> = connections
        .run("providers", move |connection| {
            Box::pin(async move {
                let wanted: Vec<&[u8]> = places.iter().map(|at| keys[*at].as_bytes()).collect();
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                let mut query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                query = query.bind(wanted).bind(to_column(now)).bind(limit);
                if let Some(from) = from {
                    query = query.bind(from);
                }
                let rows = query.fetch_all(connection).await?;
                let entry = |row: &sqlx::postgres::PgRow| {
                    // Ordinals begin at 1.
                    let ordinal = usize::try_from(row.try_get::<i32, _>(0)?).unwrap_or_default();
                    let at = places.get(ordinal.wrapping_sub(1)).copied().unwrap_or(usize::MAX);
                    Ok(Entry { at, provider: row.try_get(1)?, expires: of_column(row.try_get(2)?) })
                };
                rows.iter().map(entry).collect()
            })
        })
        .await?;
    connections.count_rows("providers", entries.len());
    Ok(entries)
}

//! Writing a batch.

use crate::connections::Connections;
use crate::peers::Peers;
use crate::schema::Tables;
use crate::time::to_column;
use hydra_api::{
    ContentKey, Inserted, PeerId, ProviderRecord, RecordOutcome, StoreError, StoreErrorKind, UnixSeconds,
};
use hydra_remote::ProviderNews;
use sqlx::{AssertSqlSafe, Row as _};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// A refresh that moves the expiry by less than this part of the record's life is left out.
const SLACK_PART: u32 = 48;

/// How often one call looks for the numbers of peers: as remembered, and as the tables have them.
const CHECKS: [Check; 2] = [Check::Row, Check::Number];

/// What is remembered of a peer is believed only as far as its row says the same in the snapshot of the insert: a purge, a deletion
/// by hand or a backup may have taken the number away, or given it to another peer. No lock is needed: the purge spares a row for
/// days after the expiry that is demanded here.
///
/// Rows that live long enough are filtered out before the insert: an `ON CONFLICT … WHERE` would lock and log them too. The
/// `IS TRUE` keeps the numbers a hash table beside the rows, whose order prevents deadlocks.
const INSERT: &str = "
WITH sure AS MATERIALIZED (
    SELECT p.id FROM unnest($5::int4[], $6::bytea[], $7::int4[], $8::bytea[]) n (id, peer_id, expires, addrs)
    JOIN {s}.peers p ON p.id = n.id AND p.peer_id = n.peer_id AND p.expires >= n.expires
        AND (n.addrs IS NULL OR (p.addrs = n.addrs AND p.addrs_at BETWEEN $9 AND $10))),
written AS (
    INSERT INTO {s}.records (key, provider, expires)
    SELECT u.key, u.provider, u.expires
    FROM unnest($1::bytea[], $2::int4[], $3::int4[], $4::int4[]) u (key, provider, expires, enough)
    WHERE (u.provider IN (SELECT id FROM sure)) IS TRUE AND NOT EXISTS (
        SELECT FROM {s}.records r WHERE r.key = u.key AND r.provider = u.provider AND r.expires >= u.enough)
    ON CONFLICT (key, provider) DO UPDATE SET expires = greatest(records.expires, excluded.expires))
SELECT id FROM sure";

/// What the row of a peer must say for its records to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// Its number, a sufficient life, and the announced addresses with a time that rule S6 takes.
    Row,
    /// Its number and a sufficient life: the addresses were written by this call, or by another node since.
    Number,
}

/// A row to be written.
struct Row<'b> {
    key: &'b ContentKey,
    provider: i32,
    expires: UnixSeconds,
}

/// Stores a batch: the peers first, then the records in one statement, which tells whose numbers were right. The others are looked
/// for once more.
pub(crate) async fn insert(
    connections: &Connections,
    tables: &Tables,
    peers: &Peers,
    batch: &[ProviderRecord],
    (now, slack): (UnixSeconds, Duration),
) -> Result<Inserted, StoreError> {
    let mut left = ProviderNews::of_batch(batch);
    for check in CHECKS {
        let ids = peers.write(connections, tables, left.clone(), now).await?;
        let rows = rows(batch, &ids, now);
        let sure: HashSet<i32> = match rows.is_empty() {
            true => ids.values().copied().collect(),
            false => {
                let claims = claims(&left, &ids, check);
                write(connections, tables, &rows, claims, (now, slack)).await?
            }
        };
        left.retain(|news| !ids.get(&news.peer).is_some_and(|id| sure.contains(id)));
        left.iter().for_each(|news| peers.forget(&news.peer));
        if left.is_empty() {
            break;
        }
    }
    let left: HashSet<PeerId> = left.into_iter().map(|news| news.peer).collect();
    let outcome = |record: &ProviderRecord| match record.expires > now && left.contains(&record.provider) {
        // Its row was removed or changed between two statements again: the next try finds it.
        true => RecordOutcome::Unknown(StoreErrorKind::Overloaded),
        false => RecordOutcome::Taken,
    };
    Ok(Inserted::of(batch.iter().map(outcome).collect()))
}

/// What is demanded of the rows of some peers, a column each.
#[derive(Default)]
struct Claims {
    ids: Vec<i32>,
    peers: Vec<Vec<u8>>,
    expires: Vec<i32>,
    addresses: Vec<Option<Vec<u8>>>,
}

fn claims(news: &[ProviderNews], ids: &HashMap<PeerId, i32>, check: Check) -> Claims {
    let mut claims = Claims::default();
    for news in news {
        let Some(id) = ids.get(&news.peer) else { continue };
        let addresses = (check == Check::Row && !news.addresses.is_empty()).then_some(&news.addresses);
        claims.ids.push(*id);
        claims.peers.push(news.peer.as_bytes().to_vec());
        claims.expires.push(to_column(news.expires));
        claims.addresses.push(addresses.map(|addresses| addresses.encoded().to_vec()));
    }
    claims
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

/// Writes the rows whose providers' numbers are right; returns these numbers.
async fn write(
    connections: &Connections,
    tables: &Tables,
    rows: &[Row<'_>],
    claims: Claims,
    (now, slack): (UnixSeconds, Duration),
) -> Result<HashSet<i32>, StoreError> {
    let keys: Vec<Vec<u8>> = rows.iter().map(|row| row.key.as_bytes().to_vec()).collect();
    let providers: Vec<i32> = rows.iter().map(|row| row.provider).collect();
    let expires: Vec<i32> = rows.iter().map(|row| to_column(row.expires)).collect();
    let enough = rows.iter().map(|row| {
        let slack = slack.min(row.expires.since(now) / SLACK_PART);
        to_column(row.expires.saturating_sub(slack))
    });
    let enough: Vec<i32> = enough.collect();
    connections.count_rows("insert", keys.len());
    let announced = ProviderNews::addresses_at(now);
    let (text, persistent) = (tables.sql(INSERT), connections.is_prepared());
    connections
        .run("insert", move |connection| {
            Box::pin(async move {
                let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                let query = query.bind(keys).bind(providers).bind(expires).bind(enough);
                let query =
                    query.bind(claims.ids).bind(claims.peers).bind(claims.expires).bind(claims.addresses);
                let query = query.bind(to_column(*announced.start())).bind(to_column(*announced.end()));
                query.fetch_all(connection).await?.iter().map(|row| row.try_get(0)).collect()
            })
        })
        .await
}

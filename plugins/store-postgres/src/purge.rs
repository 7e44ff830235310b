//! Removing what has expired: a few pages at a time, by one process of all that share the tables.

use crate::connections::Connections;
use crate::schema::Tables;
use crate::time::to_column;
use hydra_api::{PurgeProgress, Purged, StoreError, UnixSeconds};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Pages of one statement.
const PAGES: i64 = 256;
/// Statements of one call at most, so that a call ends in time where little has expired.
const STEPS_MAX: usize = 16;
/// How long a process is the one that purges, unless it says so again.
const LEASE: Duration = Duration::from_secs(180);
/// A peer outlives its last record by this much: other nodes may have remembered its number.
const PEER_LIFE: Duration = Duration::from_secs(2 * 86_400);

const TAKE: &str = "
INSERT INTO {s}.chores AS c (name, holder, until) VALUES ('purge', $1, now() + $2 * interval '1 second')
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE c.holder = excluded.holder OR c.until < now()";

/// By pages, so that no index on the expiry is needed. Locked rows are left for the next pass: writers go first. Says how many rows
/// are gone, and how many pages the table has.
const DELETE: &str = "
WITH gone AS (DELETE FROM {table} WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM {table} WHERE ctid >= format('(%s,0)', $1)::tid AND ctid < format('(%s,0)', $2)::tid
    AND expires <= $3 LIMIT $4 FOR UPDATE SKIP LOCKED)) RETURNING 1)
SELECT (SELECT count(*) FROM gone), pg_relation_size('{table}') / current_setting('block_size')::int8";

/// How far the purge is.
#[derive(Debug)]
pub(crate) struct Purge {
    /// Who this process is to the others.
    holder: [u8; 16],
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    held_until: Option<Instant>,
    table: Table,
    page: i64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Table {
    #[default]
    Records,
    Peers,
}

impl Purge {
    pub(crate) fn new() -> Self {
        Self { holder: rand::random(), state: Mutex::default() }
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// One step: some pages, and `limit` records at most.
    pub(crate) async fn step(
        &self,
        connections: &Connections,
        tables: &Tables,
        now: UnixSeconds,
        limit: u32,
    ) -> Result<Purged, StoreError> {
        let mut state = self.state();
        if !self.take(connections, tables, &mut state).await? {
            return Ok(Purged::new(0, PurgeProgress::Elsewhere));
        }
        let mut removed = 0;
        for _ in 0..STEPS_MAX {
            let left = u64::from(limit).saturating_sub(removed);
            if left == 0 {
                break;
            }
            let of_records = state.table == Table::Records;
            let (gone, pages) = delete(connections, tables, &state, now, left).await?;
            removed += if of_records { gone } else { 0 };
            // Full: the same pages again.
            if gone < left {
                state.page += PAGES;
            }
            if state.page >= pages {
                state.page = 0;
                state.table = if of_records { Table::Peers } else { Table::Records };
                if !of_records {
                    self.set(state);
                    return Ok(Purged::new(removed, PurgeProgress::Done));
                }
            }
        }
        self.set(state);
        Ok(Purged::new(removed, PurgeProgress::More))
    }

    /// True if this process is the one that purges.
    async fn take(
        &self,
        connections: &Connections,
        tables: &Tables,
        state: &mut State,
    ) -> Result<bool, StoreError> {
        let now = Instant::now();
        if state.held_until.is_some_and(|until| now + LEASE / 2 < until) {
            return Ok(true);
        }
        let (text, persistent, holder) = (tables.sql(TAKE), connections.is_prepared(), self.holder);
        let taken = connections
            .run("purge_expired", move |connection| {
                Box::pin(async move {
                    let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                    query.bind(&holder[..]).bind(LEASE.as_secs_f64()).execute(connection).await
                })
            })
            .await?
            .rows_affected();
        state.held_until = (taken > 0).then_some(now + LEASE);
        self.set(*state);
        Ok(taken > 0)
    }

    /// Lets another process purge.
    pub(crate) async fn release(&self, connections: &Connections, tables: &Tables) -> Result<(), StoreError> {
        if self.state().held_until.is_none() {
            return Ok(());
        }
        let (text, holder) =
            (tables.sql("DELETE FROM {s}.chores WHERE name = 'purge' AND holder = $1"), self.holder);
        connections
            .run("close", move |connection| {
                Box::pin(async move {
                    let query = sqlx::query(AssertSqlSafe(text)).persistent(false).bind(&holder[..]);
                    query.execute(connection).await
                })
            })
            .await
            .map(drop)
    }
}

/// Removes from some pages; returns how many rows, and how many pages the table has.
async fn delete(
    connections: &Connections,
    tables: &Tables,
    state: &State,
    now: UnixSeconds,
    limit: u64,
) -> Result<(u64, i64), StoreError> {
    let (name, before) = match state.table {
        Table::Records => ("records", now),
        Table::Peers => ("peers", now.saturating_sub(PEER_LIFE)),
    };
    let text = tables.sql(&DELETE.replace("{table}", &format!("{{s}}.{name}")));
    let (persistent, page) = (connections.is_prepared(), state.page);
    let (gone, pages): (i64, i64) = connections
        .run("purge_expired", move |connection: &mut PgConnection| {
            Box::pin(async move {
                let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                let query = query.bind(page).bind(page + PAGES).bind(to_column(before));
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                let row = query.bind(limit).fetch_one(connection).await?;
                Ok((row.try_get(0)?, row.try_get(1)?))
            })
        })
        .await?;
    connections.count_rows("purge_expired", usize::try_from(gone).unwrap_or(usize::MAX));
    Ok((u64::try_from(gone).unwrap_or(0), pages))
}

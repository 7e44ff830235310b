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
    held_until: Mutex<Option<Instant>>,
    walk: Mutex<Walk>,
    walk_of_values: Mutex<Walk>,
}

/// Where the next statement begins.
#[derive(Debug, Default, Clone, Copy)]
struct Walk {
    table: Table,
    page: i64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Table {
    #[default]
    Records,
    Peers,
    Values,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Peers => "peers",
            Self::Values => "value_records",
        }
    }

    /// The call that purges it.
    const fn operation(self) -> &'static str {
        match self {
            Self::Records | Self::Peers => "purge_expired",
            Self::Values => "purge_values",
        }
    }

    /// What has expired by this time goes.
    fn before(self, now: UnixSeconds) -> UnixSeconds {
        match self {
            Self::Records | Self::Values => now,
            Self::Peers => now.saturating_sub(PEER_LIFE),
        }
    }
}

fn read<T: Copy>(place: &Mutex<T>) -> T {
    *place.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set<T>(place: &Mutex<T>, value: T) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = value;
}

impl Purge {
    pub(crate) fn new() -> Self {
        let walk_of_values = Mutex::new(Walk { table: Table::Values, page: 0 });
        Self { holder: rand::random(), held_until: Mutex::default(), walk: Mutex::default(), walk_of_values }
    }

    /// One step: some pages, and `limit` records at most.
    pub(crate) async fn step(
        &self,
        connections: &Connections,
        tables: &Tables,
        now: UnixSeconds,
        limit: u32,
    ) -> Result<Purged, StoreError> {
        if !self.take(connections, tables, "purge_expired").await? {
            return Ok(Purged::new(0, PurgeProgress::Elsewhere));
        }
        let mut walk = read(&self.walk);
        let mut removed = 0;
        for _ in 0..STEPS_MAX {
            let left = u64::from(limit).saturating_sub(removed);
            if left == 0 {
                break;
            }
            let of_records = walk.table == Table::Records;
            let (gone, is_end) = walk.step(connections, tables, now, left).await?;
            removed += if of_records { gone } else { 0 };
            if is_end {
                walk = Walk { page: 0, table: if of_records { Table::Peers } else { Table::Records } };
                if !of_records {
                    set(&self.walk, walk);
                    return Ok(Purged::new(removed, PurgeProgress::Done));
                }
            }
        }
        set(&self.walk, walk);
        Ok(Purged::new(removed, PurgeProgress::More))
    }

    /// One step among the value records: some pages, and `limit` records at most.
    pub(crate) async fn step_of_values(
        &self,
        connections: &Connections,
        tables: &Tables,
        now: UnixSeconds,
        limit: u32,
    ) -> Result<Purged, StoreError> {
        if !self.take(connections, tables, "purge_values").await? {
            return Ok(Purged::new(0, PurgeProgress::Elsewhere));
        }
        let mut walk = read(&self.walk_of_values);
        let (mut removed, mut progress) = (0, PurgeProgress::More);
        for _ in 0..STEPS_MAX {
            let left = u64::from(limit).saturating_sub(removed);
            if left == 0 {
                break;
            }
            let (gone, is_end) = walk.step(connections, tables, now, left).await?;
            removed += gone;
            if is_end {
                (walk.page, progress) = (0, PurgeProgress::Done);
                break;
            }
        }
        set(&self.walk_of_values, walk);
        Ok(Purged::new(removed, progress))
    }

    /// True if this process is the one that purges.
    async fn take(
        &self,
        connections: &Connections,
        tables: &Tables,
        operation: &'static str,
    ) -> Result<bool, StoreError> {
        let now = Instant::now();
        if read(&self.held_until).is_some_and(|until| now + LEASE / 2 < until) {
            return Ok(true);
        }
        let (text, persistent, holder) = (tables.sql(TAKE), connections.is_prepared(), self.holder);
        let taken = connections
            .run(operation, move |connection| {
                Box::pin(async move {
                    let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                    query.bind(&holder[..]).bind(LEASE.as_secs_f64()).execute(connection).await
                })
            })
            .await?
            .rows_affected();
        set(&self.held_until, (taken > 0).then_some(now + LEASE));
        Ok(taken > 0)
    }

    /// Lets another process purge.
    pub(crate) async fn release(&self, connections: &Connections, tables: &Tables) -> Result<(), StoreError> {
        if read(&self.held_until).is_none() {
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

impl Walk {
    /// Removes from some pages; how many rows, and whether the table ends there.
    async fn step(
        &mut self,
        connections: &Connections,
        tables: &Tables,
        now: UnixSeconds,
        limit: u64,
    ) -> Result<(u64, bool), StoreError> {
        let (gone, pages) = delete(connections, tables, *self, now, limit).await?;
        // Full: the same pages again.
        if gone < limit {
            self.page += PAGES;
        }
        Ok((gone, self.page >= pages))
    }
}

/// Removes from some pages; returns how many rows, and how many pages the table has.
async fn delete(
    connections: &Connections,
    tables: &Tables,
    Walk { table, page }: Walk,
    now: UnixSeconds,
    limit: u64,
) -> Result<(u64, i64), StoreError> {
    let (operation, before) = (table.operation(), table.before(now));
    let text = tables.sql(&DELETE.replace("{table}", &format!("{{s}}.{}", table.name())));
    let persistent = connections.is_prepared();
    let (gone, pages): (i64, i64) = connections
        .run(operation, move |connection: &mut PgConnection| {
            Box::pin(async move {
                let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                let query = query.bind(page).bind(page + PAGES).bind(to_column(before));
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                let row = query.bind(limit).fetch_one(connection).await?;
                Ok((row.try_get(0)?, row.try_get(1)?))
            })
        })
        .await?;
    connections.count_rows(operation, usize::try_from(gone).unwrap_or(usize::MAX));
    Ok((u64::try_from(gone).unwrap_or(0), pages))
}

//! Removing what has expired: a few pages at a time, by one process of all that share the tables.

use crate::connections::Connections;
use crate::schema::Tables;
use crate::time::to_column;
use hydra_api::{PurgeProgress, Purged, StoreError, UnixSeconds};
use hydra_remote::{ClockBehind, PROVIDER_HEADROOM};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::sync::atomic::{AtomicU32, Ordering};
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
WHERE c.holder = excluded.holder OR c.until < now()
RETURNING floor(extract(epoch FROM clock_timestamp()))::int8";

/// By pages, so that no index on the expiry is needed. Locked rows are left for the next pass: writers go first. Says how many rows
/// are gone, how many have an expiry that was lowered, and how many pages the table has.
const SWEEP: &str = "
WITH found AS MATERIALIZED (
    SELECT ctid AS at, expires <= $3 AS has_ended FROM {table}
    WHERE ctid >= format('(%s,0)', $1)::tid AND ctid < format('(%s,0)', $2)::tid AND (expires <= $3 OR expires > $5)
    LIMIT $4 FOR UPDATE SKIP LOCKED),
gone AS (DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT at FROM found WHERE has_ended)) RETURNING 1),
lowered AS (UPDATE {table} SET expires = $5 WHERE ctid = ANY(ARRAY(SELECT at FROM found WHERE NOT has_ended)) RETURNING 1)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM lowered),
    pg_relation_size('{table}') / current_setting('block_size')::int8";

/// How far the purge is.
#[derive(Debug)]
pub(crate) struct Purge {
    /// Who this process is to the others.
    holder: [u8; 16],
    held_until: Mutex<Option<Instant>>,
    walk: Mutex<Walk>,
    walk_of_values: Mutex<Walk>,
    /// Expiries after this are lowered to it, by the server's clock if that is ahead.
    latest: AtomicU32,
    behind: ClockBehind,
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
        let latest = AtomicU32::new(u32::MAX);
        let (held_until, walk, behind) = Default::default();
        Self { holder: rand::random(), held_until, walk, walk_of_values, latest, behind }
    }

    /// Has the next steps lower later expiries of provider records.
    pub(crate) fn expire_by(&self, latest: UnixSeconds) {
        self.latest.store(latest.0, Ordering::Relaxed);
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
        let latest = self.behind.corrected(UnixSeconds(self.latest.load(Ordering::Relaxed)));
        let (mut removed, mut left) = (0, u64::from(limit));
        for _ in 0..STEPS_MAX {
            if left == 0 {
                break;
            }
            let of_records = walk.table == Table::Records;
            let (swept, is_end) = walk.step(connections, tables, (now, latest), left).await?;
            removed += if of_records { swept.gone } else { 0 };
            let changed = swept.gone + swept.lowered;
            left = left.saturating_sub(if of_records { changed } else { swept.lowered });
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
            let (swept, is_end) = walk.step(connections, tables, (now, UnixSeconds(u32::MAX)), left).await?;
            removed += swept.gone;
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
                    let query = query.bind(&holder[..]).bind(LEASE.as_secs_f64());
                    let row = query.fetch_optional(connection).await?;
                    row.map(|row| row.try_get::<i64, _>(0)).transpose()
                })
            })
            .await?;
        if let Some(date) = taken {
            self.behind.record(UnixSeconds(u32::try_from(date).unwrap_or_default()));
        }
        set(&self.held_until, taken.map(|_| now + LEASE));
        Ok(taken.is_some())
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
    /// Removes from some pages, and lowers expiries there; how many rows, and whether the table ends there.
    async fn step(
        &mut self,
        connections: &Connections,
        tables: &Tables,
        dates: (UnixSeconds, UnixSeconds),
        limit: u64,
    ) -> Result<(Swept, bool), StoreError> {
        let swept = sweep(connections, tables, *self, dates, limit).await?;
        // Full: the same pages again.
        if swept.gone + swept.lowered < limit {
            self.page += PAGES;
        }
        let is_end = self.page >= swept.pages;
        Ok((swept, is_end))
    }
}

/// What a statement has changed.
struct Swept {
    gone: u64,
    lowered: u64,
    /// Pages that the table has.
    pages: i64,
}

/// Removes rows from some pages, and lowers expiries there: `limit` rows at most.
async fn sweep(
    connections: &Connections,
    tables: &Tables,
    Walk { table, page }: Walk,
    (now, latest): (UnixSeconds, UnixSeconds),
    limit: u64,
) -> Result<Swept, StoreError> {
    let (operation, before) = (table.operation(), table.before(now));
    // A peer is kept for longer than its records, by what its row has in advance.
    let latest = if table == Table::Peers { latest.saturating_add(PROVIDER_HEADROOM) } else { latest };
    let text = tables.sql(&SWEEP.replace("{table}", &format!("{{s}}.{}", table.name())));
    let persistent = connections.is_prepared();
    let (gone, lowered, pages): (i64, i64, i64) = connections
        .run(operation, move |connection: &mut PgConnection| {
            Box::pin(async move {
                let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                let query = query.bind(page).bind(page + PAGES).bind(to_column(before));
                let query = query.bind(i64::try_from(limit).unwrap_or(i64::MAX)).bind(to_column(latest));
                let row = query.fetch_one(connection).await?;
                Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
            })
        })
        .await?;
    let rows = |count: i64| u64::try_from(count).unwrap_or(0);
    connections.count_rows(operation, usize::try_from(gone + lowered).unwrap_or(usize::MAX));
    Ok(Swept { gone: rows(gone), lowered: rows(lowered), pages })
}

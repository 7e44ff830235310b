//! What the settings and the sessions of the server will do to the store, found at the start and by a check.

use sqlx::{AssertSqlSafe, PgConnection, Row};

/// A transaction that is open for longer keeps vacuum from removing what refreshes leave behind.
const TRANSACTION_MAX: &str = "1 hour";

/// `reserved_connections` came with PostgreSQL 16: before it the setting reads as null. Of the sessions of other roles their role and
/// database are shown, and not that they are clients: workers of the server lack one of the two. The last column is what the limits of
/// the role and of the database leave, if there are any.
const SETTINGS: &str = "
WITH clients AS (SELECT usesysid, datid FROM pg_stat_activity WHERE pid <> pg_backend_pid()
    AND usesysid IS NOT NULL AND datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend')
SELECT current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8
        - coalesce(current_setting('reserved_connections', true)::int8, 0),
    (SELECT count(*) FROM clients),
    current_setting('autovacuum')::bool, current_setting('fsync')::bool,
    (SELECT least(
            CASE WHEN rolconnlimit >= 0 THEN rolconnlimit - (SELECT count(*) FROM clients WHERE usesysid = r.oid) END,
            CASE WHEN datconnlimit >= 0 THEN datconnlimit - (SELECT count(*) FROM clients WHERE datid = d.oid) END)
        FROM pg_roles r, pg_database d
        WHERE rolname = current_user AND datname = current_database() AND NOT rolsuper)";

/// Other roles' transactions are seen by members of `pg_read_all_stats` alone.
const TRANSACTIONS: &str = "
SELECT count(*), coalesce(max(extract(epoch FROM now() - since)), 0)::int8 FROM (
    SELECT xact_start FROM pg_stat_activity WHERE backend_type = 'client backend'
    UNION ALL SELECT prepared FROM pg_prepared_xacts) t (since)
WHERE since < now() - interval '{max}'";

/// What was found.
#[derive(Debug)]
pub(crate) struct Survey {
    /// One warning for each thing that hurts.
    pub(crate) warnings: Vec<String>,
    /// Connections that the server lets this process have, those that are open included.
    pub(crate) room: u32,
}

/// Looks at the server. `connections` is how many this node is going to use, `open` how many of them are open.
pub(crate) async fn look(
    connection: &mut PgConnection,
    connections: u32,
    open: u32,
) -> Result<Survey, sqlx::Error> {
    // Each query in one message: behind a pooler its halves could reach two processes of the server.
    let settings = sqlx::raw_sql(SETTINGS).fetch_one(&mut *connection).await?;
    let (room, used): (i64, i64) = (settings.try_get(0)?, settings.try_get(1)?);
    let (vacuums, syncs): (bool, bool) = (settings.try_get(2)?, settings.try_get(3)?);
    let limit: Option<i64> = settings.try_get(4)?;
    let text = TRANSACTIONS.replace("{max}", TRANSACTION_MAX);
    let transactions = sqlx::raw_sql(AssertSqlSafe(text)).fetch_one(connection).await?;
    let (held, seconds): (i64, i64) = (transactions.try_get(0)?, transactions.try_get(1)?);

    let mut warnings = Vec::new();
    let others = (used + 1 - i64::from(open)).max(0);
    if others + i64::from(connections) > room {
        warnings.push(format!(
            "the server has room for {room} connections, others use about {others}, and connections_max is {connections}: \
             raise max_connections of the server or lower connections_max"
        ));
    }
    if held > 0 {
        warnings.push(format!(
            "{held} transactions are open for more than {TRANSACTION_MAX}, the longest for {} hours: the tables grow until these end \
             (pg_stat_activity.xact_start, pg_prepared_xacts)",
            seconds / 3600
        ));
    }
    if !vacuums {
        warnings.push("autovacuum is off: the tables grow with every refresh; switch it on".to_owned());
    }
    if !syncs {
        warnings.push(
            "fsync is off: a crash of the server's machine may damage the records; switch it on".to_owned(),
        );
    }
    // This connection and the others that are open are among those that the limits count.
    let limited = limit.map_or(i64::MAX, |left| left.saturating_add(i64::from(open) - 1));
    let room = (room - others).min(limited).max(i64::from(open));
    Ok(Survey { warnings, room: u32::try_from(room).unwrap_or(u32::MAX) })
}

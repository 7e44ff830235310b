//! How statements are sent: a pooler in transaction mode gives each transaction another connection of the server.

use sqlx::{PgConnection, Row};
use std::time::Duration;
use tokio::time::timeout;

/// How long the second connection has to get one of the server while the first one uses one. A pooler may have only one.
const TURN: Duration = Duration::from_secs(1);

/// How statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Prepared once per connection.
    Prepared,
    /// Prepared, and each in a transaction of its own: for poolers in transaction mode that know prepared statements, as pgbouncer
    /// does since 1.21.
    PreparedInTransactions,
    /// Unnamed, and each in a transaction of its own: for other poolers in transaction mode.
    Unnamed,
}

impl Mode {
    /// True if settings of the session stay with it. In a pooler they would go to whoever gets the connection next.
    pub(super) fn has_session(self) -> bool {
        match self {
            Self::Prepared => true,
            Self::PreparedInTransactions | Self::Unnamed => false,
        }
    }

    /// True if statements have names.
    pub(super) fn is_prepared(self) -> bool {
        match self {
            Self::Prepared | Self::PreparedInTransactions => true,
            Self::Unnamed => false,
        }
    }
}

/// Other clients of a pooler may by chance leave both connections their processes for a turn, not for so many.
const TURNS: usize = 6;

/// Finds out whether two connections keep their processes of the server while they take turns in transactions. Behind a pooler in
/// transaction mode they exchange them sooner or later, or one waits for the other.
pub(super) async fn is_pooled(one: &mut PgConnection, other: &mut PgConnection) -> Result<bool, sqlx::Error> {
    for _ in 0..TURNS {
        if exchange(one, other).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether they exchange them in one turn.
async fn exchange(one: &mut PgConnection, other: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::raw_sql("BEGIN").execute(&mut *one).await?;
    let first = process(one).await?;
    let second = match timeout(TURN, process(other)).await {
        Ok(process) => process?,
        Err(_) => {
            sqlx::raw_sql("COMMIT").execute(&mut *one).await?;
            return Ok(true);
        }
    };
    sqlx::raw_sql("COMMIT").execute(&mut *one).await?;
    // A pooler hands out the connection that came back last: now it is that of the first.
    sqlx::raw_sql("BEGIN").execute(&mut *other).await?;
    let again = process(other).await?;
    let keeps = again == second && process(one).await? == first;
    sqlx::raw_sql("COMMIT").execute(&mut *other).await?;
    Ok(!keeps)
}

/// The process of the server that answers.
async fn process(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    // One message each way, so that a pooler cannot give its halves to two processes.
    sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?.try_get(0)
}

//! The table of value records. It came after the others, so a database may be without it: the store then keeps providers alone.

use crate::config::Migrate;
use crate::connections::Connections;
use crate::fault::Reported;
use crate::schema::{LOCK, SchemaError, Tables, VALUE_RECORDS};
use hydra_api::{Causes, OpenError, Purpose};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

/// Whether value records can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueTable {
    /// The table is there, and the role may read and write it.
    Ready,
    /// There is no table.
    Missing,
    /// The role lacks a right on the table.
    Forbidden,
}

/// The rights on the table are asked for with it: where an operator has made it, the role of the node may have none yet.
const LOOK: &str = "
SELECT t IS NOT NULL, coalesce((
    SELECT bool_and(has_table_privilege(t, p)) FROM unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) p), false)
FROM to_regclass('{s}.value_records') t";

impl ValueTable {
    /// Whether value records can be kept. A node that makes its tables makes this one too; if it must not, it goes on without, as it did before
    /// there was such a table.
    pub(crate) async fn open(
        connections: &Connections,
        tables: &Tables,
        purpose: Purpose,
        migrate: Migrate,
    ) -> Result<Self, OpenError> {
        let own = tables.clone();
        let found = connections
            .run_plain(move |connection| Box::pin(async move { Self::find(connection, &own).await }));
        let found = match found.await {
            Ok(found) => found,
            // Such as without any right on the schema, which with `migrate = "off"` is no reason not to start.
            Err(cause) if is_told_by_server(&cause) => {
                tracing::debug!(error = %Causes(&cause), "cannot look for the table of value records");
                Self::Missing
            }
            Err(cause) => {
                return Err(OpenError::unavailable("cannot look for the table of value records", cause));
            }
        };
        let makes = purpose == Purpose::Migrate || (purpose == Purpose::Serve && migrate == Migrate::Auto);
        if found != Self::Missing || !makes {
            return Ok(found);
        }
        let own = tables.clone();
        let made = connections
            .run_plain(move |connection| Box::pin(async move { Self::make(connection, &own).await }));
        match made.await {
            Ok(made) => Ok(made),
            // The role may not create it, or the server is read-only.
            Err(cause) if purpose == Purpose::Serve && is_told_by_server(&cause) => {
                tracing::warn!(error = %Causes(&cause), "cannot create the table of value records");
                Ok(Self::Missing)
            }
            Err(cause) => Err(OpenError::unavailable("cannot create the table of value records", cause)),
        }
    }

    /// Looks for the table.
    pub(crate) async fn look(
        connection: &mut PgConnection,
        tables: &Tables,
        persistent: bool,
    ) -> Result<Self, sqlx::Error> {
        let query = sqlx::query(AssertSqlSafe(tables.sql(LOOK))).persistent(persistent);
        let row = query.fetch_one(connection).await?;
        Ok(match (row.try_get(0)?, row.try_get(1)?) {
            (false, _) => Self::Missing,
            (true, false) => Self::Forbidden,
            (true, true) => Self::Ready,
        })
    }

    /// The same in a transaction, for connections that may be those of a pooler.
    async fn find(connection: &mut PgConnection, tables: &Tables) -> Result<Self, SchemaError> {
        let mut transaction = connection.begin().await?;
        let found = Self::look(&mut transaction, tables, false).await?;
        transaction.commit().await?;
        Ok(found)
    }

    /// Makes the table. Two processes take turns.
    async fn make(connection: &mut PgConnection, tables: &Tables) -> Result<Self, SchemaError> {
        let mut transaction = connection.begin().await?;
        let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").persistent(false).bind(LOCK);
        lock.execute(&mut *transaction).await?;
        sqlx::raw_sql(AssertSqlSafe(tables.sql(VALUE_RECORDS))).execute(&mut *transaction).await?;
        transaction.commit().await?;
        // Another process may have made it, with another role.
        Self::find(connection, tables).await
    }

    /// Why value records are not kept, and what to do about it.
    pub(crate) fn lack(self, schema: &str) -> Option<String> {
        match self {
            Self::Ready => None,
            Self::Missing => Some(format!(
                "value records (/pk and /ipns) are not kept: the schema `{schema}` has no table `value_records`; run `hydra store migrate`"
            )),
            Self::Forbidden => Some(format!(
                "value records (/pk and /ipns) are not kept: the role needs SELECT, INSERT, UPDATE and DELETE on the table \
                 `{schema}.value_records`"
            )),
        }
    }
}

/// True if the server answers and refuses what it was asked.
fn is_told_by_server(error: &SchemaError) -> bool {
    matches!(error, SchemaError::Database(Reported(sqlx::Error::Database(_))))
}

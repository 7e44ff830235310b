//! The tables, and how they come into being.

use crate::fault::Reported;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

/// The version of the tables that this program works with.
pub(crate) const VERSION: i32 = 1;
/// The key of the advisory lock under which one process at a time migrates: the letters "hydra" as a number.
pub(crate) const LOCK: i64 = 0x68_79_64_72_61;

/// The tables of one schema, by their full names.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    pub(crate) schema: String,
}

/// The tables of version 1, beside the one with the version.
const TABLES: [&str; 3] = ["records", "peers", "chores"];

/// Which tables there must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All; what is missing is made.
    Made,
    /// All.
    All,
    /// All, or none yet.
    AllOrNone,
    /// It is not looked.
    Any,
}

/// Why the tables cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchemaError {
    #[error("the schema `{schema}` has no tables of hydra; run `hydra store migrate`")]
    Missing { schema: String },
    #[error(
        "the schema `{schema}` has lost its table `{table}`; restore it, or drop the schema and run `hydra store migrate`"
    )]
    Incomplete { schema: String, table: String },
    #[error(
        "the tables of the schema `{schema}` have version {found}, and this program needs version {VERSION}; \
         run `hydra store migrate` if they are older, or a newer hydra if they are newer"
    )]
    Version { schema: String, found: i32 },
    #[error(transparent)]
    Database(Reported),
    #[error(transparent)]
    Connection(#[from] hydra_api::StoreError),
}

impl From<sqlx::Error> for SchemaError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Reported(error))
    }
}

impl Tables {
    /// The tables of this schema. The name is checked by the config: letters, digits and underscores.
    pub(crate) fn new(schema: &str) -> Self {
        Self { schema: schema.to_owned() }
    }

    /// The text of a statement, with `{s}` for the schema.
    pub(crate) fn sql(&self, text: &str) -> String {
        text.replace("{s}", &self.schema)
    }

    /// Makes sure that the tables are there.
    pub(crate) async fn prepare(
        &self,
        connection: &mut PgConnection,
        wanted: Wanted,
    ) -> Result<(), SchemaError> {
        if wanted == Wanted::Any {
            return Ok(());
        }
        // In a transaction: behind a pooler the two messages of a query could reach two processes of the server.
        let mut transaction = connection.begin().await?;
        let mut found = self.version(&mut transaction).await?;
        transaction.commit().await?;
        if wanted == Wanted::Made && found.is_none_or(|found| found < VERSION) {
            found = Some(self.migrate(connection).await?);
        }
        let schema = self.schema.clone();
        match found {
            Some(VERSION) => match self.lost(connection).await? {
                Some(table) => Err(SchemaError::Incomplete { schema, table }),
                None => Ok(()),
            },
            Some(found) => Err(SchemaError::Version { schema, found }),
            None if wanted == Wanted::AllOrNone => Ok(()),
            None => Err(SchemaError::Missing { schema }),
        }
    }

    /// A table that is missing although there is a version.
    async fn lost(&self, connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
        let text =
            "SELECT name FROM unnest($2::text[]) name WHERE to_regclass($1 || '.' || name) IS NULL LIMIT 1";
        let mut transaction = connection.begin().await?;
        let lost = sqlx::query(text).persistent(false).bind(&self.schema).bind(TABLES.to_vec());
        let lost = lost.fetch_optional(&mut *transaction).await?;
        transaction.commit().await?;
        lost.map(|row| row.try_get(0)).transpose()
    }

    /// The version of the tables; none if there are none.
    pub(crate) async fn version(&self, connection: &mut PgConnection) -> Result<Option<i32>, sqlx::Error> {
        let exists =
            sqlx::query("SELECT to_regclass($1) IS NOT NULL").persistent(false).bind(self.sql("{s}.hydra"));
        if !exists.fetch_one(&mut *connection).await?.try_get::<bool, _>(0)? {
            return Ok(None);
        }
        let version = self.sql("SELECT max(version) FROM {s}.hydra");
        let row = sqlx::query(AssertSqlSafe(version)).persistent(false).fetch_one(connection).await?;
        row.try_get(0)
    }

    /// Each step is one transaction with its version, so a step is done or is not. Two processes take turns.
    async fn migrate(&self, connection: &mut PgConnection) -> Result<i32, SchemaError> {
        let mut transaction = connection.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .persistent(false)
            .bind(LOCK)
            .execute(&mut *transaction)
            .await?;
        let found = self.version(&mut transaction).await?.unwrap_or(0);
        if found < 1 {
            let text = self.sql(&[VERSION_1, VALUE_RECORDS].concat());
            sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(found.max(VERSION))
    }
}

/// No index on `expires` and no foreign key: either ends heap-only updates and makes a write 40 % dearer.
///
/// To analyze a million records costs 140 ms of CPU with the default sample of 30,000 rows: after each 2 % of new ones, 7 µs for each
/// of these. All that the planner has to know is that a key has few rows, and that no sample tells: keys with many providers fill it, so
/// that the planner expects many rows of each and reads all entries of such a key for a bitmap, before a limit can end it.
const VERSION_1: &str = "
CREATE SCHEMA IF NOT EXISTS {s};
CREATE TABLE {s}.hydra (version int NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE {s}.peers (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    addrs_at int NOT NULL,
    expires int NOT NULL,
    peer_id bytea NOT NULL UNIQUE,
    addrs bytea
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 1);
CREATE TABLE {s}.records (
    provider int NOT NULL,
    expires int NOT NULL,
    key bytea NOT NULL,
    PRIMARY KEY (key, provider)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.1,
        autovacuum_vacuum_cost_delay = 1);
ALTER TABLE {s}.records
    ALTER provider SET STATISTICS 10, ALTER expires SET STATISTICS 10, ALTER key SET STATISTICS 10, ALTER key SET (n_distinct = -1);
CREATE TABLE {s}.chores (name text PRIMARY KEY, holder bytea NOT NULL, until timestamptz NOT NULL);
COMMENT ON COLUMN {s}.records.expires IS 'to_timestamp(expires::int8 + 2147483648)';
COMMENT ON COLUMN {s}.peers.expires IS 'No record of the peer expires later: to_timestamp(expires::int8 + 2147483648)';
COMMENT ON COLUMN {s}.peers.addrs_at IS 'Time of the last announcement of addrs: to_timestamp(addrs_at::int8 + 2147483648)';
INSERT INTO {s}.hydra (version) VALUES (1);
";

/// Rows are replaced in place: a page keeps room for some, as no index but that of the key has to be changed. Values are signatures and
/// ciphers, which do not compress; those of more than 2 kB are kept beside the table. Nothing is asked for that the planner would need
/// statistics for.
///
/// No new version of the tables: nodes of before work beside this table, and start.
pub(crate) const VALUE_RECORDS: &str = "
CREATE TABLE IF NOT EXISTS {s}.value_records (
    received int NOT NULL,
    expires int NOT NULL,
    key bytea PRIMARY KEY,
    value bytea NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.1,
        autovacuum_vacuum_cost_delay = 1);
ALTER TABLE {s}.value_records
    ALTER value SET STORAGE EXTERNAL,
    ALTER received SET STATISTICS 0, ALTER expires SET STATISTICS 0, ALTER key SET STATISTICS 10, ALTER value SET STATISTICS 0;
COMMENT ON COLUMN {s}.value_records.received IS 'to_timestamp(received::int8 + 2147483648)';
COMMENT ON COLUMN {s}.value_records.expires IS 'to_timestamp(expires::int8 + 2147483648)';
";

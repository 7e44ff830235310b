//! What the server's catalogue says of the tables: read with each estimate, and published with its age.

use crate::connections::SYSTEM;
use crate::schema::Tables;
use hydra_api::Metric;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The tables that grow.
const TABLES: [&str; 3] = ["records", "peers", "value_records"];

/// Sizes are those of the files; counts are those of the statistics collector, which autovacuum goes by. All are read from the
/// catalogue and the file system, whatever the size of the tables.
const FACTS: &str = "
SELECT c.relname::text, pg_table_size(c.oid), pg_indexes_size(c.oid), coalesce(t.n_live_tup, 0), coalesce(t.n_dead_tup, 0),
    extract(epoch FROM now() - greatest(t.last_vacuum, t.last_autovacuum))::float8
FROM unnest(ARRAY['{s}.records', '{s}.peers', '{s}.value_records']) n (name)
JOIN pg_class c ON c.oid = to_regclass(n.name)
LEFT JOIN pg_stat_user_tables t ON t.relid = c.oid";

/// The last that the catalogue said.
#[derive(Debug, Default)]
pub(crate) struct Catalogue(Mutex<Option<Read>>);

#[derive(Debug, Clone)]
struct Read {
    at: Instant,
    tables: Vec<Facts>,
}

/// What the catalogue says of one table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Facts {
    table: &'static str,
    table_bytes: i64,
    index_bytes: i64,
    live: i64,
    dead: i64,
    /// Seconds since the last vacuum; none before the first.
    vacuumed: Option<f64>,
}

/// Reads the facts on a connection that is in use for something else.
pub(crate) async fn read(
    connection: &mut PgConnection,
    tables: &Tables,
    persistent: bool,
) -> Result<Vec<Facts>, sqlx::Error> {
    let query = sqlx::query(AssertSqlSafe(tables.sql(FACTS))).persistent(persistent);
    let rows = query.fetch_all(connection).await?;
    let mut read = Vec::new();
    for row in &rows {
        let name: &str = row.try_get(0)?;
        let Some(table) = TABLES.into_iter().find(|table| *table == name) else { continue };
        read.push(Facts {
            table,
            table_bytes: row.try_get(1)?,
            index_bytes: row.try_get(2)?,
            live: row.try_get(3)?,
            dead: row.try_get(4)?,
            vacuumed: row.try_get(5)?,
        });
    }
    Ok(read)
}

impl Catalogue {
    fn last(&self) -> MutexGuard<'_, Option<Read>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was read just now.
    pub(crate) fn keep(&self, tables: Vec<Facts>) {
        *self.last() = Some(Read { at: Instant::now(), tables });
    }

    /// What was read last; nothing before the first time.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let Some(Read { at, tables }) = self.last().clone() else { return Vec::new() };
        let age = at.elapsed().as_secs_f64();
        let mut metrics = vec![
            Metric::gauge("db_tables_age_seconds", "Time since the statistics of the tables were read.", age)
                .with("db_system_name", SYSTEM),
        ];
        for facts in tables {
            let of_table = |name, help, value| {
                Metric::gauge(name, help, value)
                    .with("db_collection_name", facts.table)
                    .with("db_system_name", SYSTEM)
            };
            let rows = |state, rows| {
                let help = "Rows of a table according to the statistics of the server: live, or dead and not yet vacuumed.";
                of_table("db_table_rows", help, rows as f64).with("state", state)
            };
            let bytes = |part, bytes| {
                let help = "Size of a table on the disk: its rows, or its indexes.";
                of_table("db_table_bytes", help, bytes as f64).with("part", part)
            };
            metrics.extend([
                rows("live", facts.live),
                rows("dead", facts.dead),
                bytes("rows", facts.table_bytes),
                bytes("indexes", facts.index_bytes),
            ]);
            metrics.extend(facts.vacuumed.map(|seconds| {
                let help = "Time since the last vacuum of a table that the statistics of the server know of: absent before the first, and after \
                            a crash of the server, which resets them.";
                of_table("db_table_vacuum_age_seconds", help, seconds.max(0.0) + age)
            }));
        }
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_well_formed() {
        let catalogue = Catalogue::default();
        assert_eq!(catalogue.metrics(), []);
        let facts =
            |table, vacuumed| Facts { table, table_bytes: 1, index_bytes: 2, live: 3, dead: 4, vacuumed };
        catalogue.keep(vec![facts("records", Some(-0.5)), facts("peers", None)]);
        let (taken, refused) = hydra_api::metrics::well_formed(catalogue.metrics());
        assert_eq!((taken.len(), refused), (10, Vec::new()));
    }
}

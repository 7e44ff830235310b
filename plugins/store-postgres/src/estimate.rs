//! About how many records there are, from a sample of pages.

use crate::catalogue::{self, Catalogue};
use crate::connections::Connections;
use crate::schema::Tables;
use crate::value_table::ValueTable;
use hydra_api::{Estimate, EstimateMethod, StoreError};
use sqlx::{AssertSqlSafe, Row};
use std::time::Duration;

/// About so many pages are read, 2 MiB: with 60 to 100 records on a page, some 20,000 records.
pub(crate) const PAGES: i64 = 256;

/// The records on some pages, and the share of all pages that these are.
const SAMPLE: &str = "SELECT count(*), {share} FROM {s}.records TABLESAMPLE SYSTEM ((100 * {share})::real)";
const SHARE: &str = "least(1, $1::float8 * current_setting('block_size')::int8 \
                     / greatest(pg_relation_size('{s}.{table}'), 1))";

/// The share of the pages of a table that [`PAGES`] are.
pub(crate) fn share_of(table: &str) -> String {
    SHARE.replace("{table}", table)
}

/// Counts the records on some pages. The statistics of the planner are no use: they are missing before the first analyze.
///
/// On the way it reads what the catalogue says of the tables, and whether there is one of value records now. A server that does not say
/// it is no reason for an error.
pub(crate) async fn estimate(
    connections: &Connections,
    tables: &Tables,
    catalogue: &Catalogue,
) -> Result<(Estimate, Option<ValueTable>), StoreError> {
    let text = tables.sql(&SAMPLE.replace("{share}", &share_of("records")));
    let persistent = connections.is_prepared();
    let records = connections.run("estimate", move |connection| {
        Box::pin(async move {
            let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent).bind(PAGES);
            let row = query.fetch_one(connection).await?;
            let (counted, share): (i64, f64) = (row.try_get(0)?, row.try_get(1)?);
            Ok(counted as f64 / share)
        })
    });
    let records = records.await?;
    let own = tables.clone();
    let facts = connections.run("estimate", move |connection| {
        Box::pin(async move { catalogue::read(connection, &own, persistent).await })
    });
    match facts.await {
        Ok(facts) => catalogue.keep(facts),
        Err(error) => tracing::debug!(error = %hydra_api::Causes(&error), "cannot read the catalogue"),
    }
    let own = tables.clone();
    let values = connections.run("estimate", move |connection| {
        Box::pin(async move { ValueTable::look(connection, &own, persistent).await })
    });
    let values = values.await.inspect_err(|error| {
        tracing::debug!(error = %hydra_api::Causes(error), "cannot look for the table of value records");
    });
    Ok((Estimate::new(records as u64, Duration::ZERO, EstimateMethod::Sampled), values.ok()))
}

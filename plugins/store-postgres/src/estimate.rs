//! About how many records there are, from a sample of pages.

use crate::catalogue::{self, Catalogue};
use crate::connections::Connections;
use crate::fault;
use crate::schema::Tables;
use hydra_api::{Estimate, EstimateMethod, StoreError};
use sqlx::{AssertSqlSafe, Row};
use std::time::Duration;

/// About so many pages are read, 2 MiB: with 60 to 100 records on a page, some 20,000 records.
const PAGES: i64 = 256;

/// Counts the records on some pages. The statistics of the planner are no use: they are missing before the first analyze.
///
/// On the way it reads what the catalogue says of the tables. A server that does not say it is no reason for an error.
pub(crate) async fn estimate(
    connections: &Connections,
    tables: &Tables,
    catalogue: &Catalogue,
) -> Result<Estimate, StoreError> {
    let size = tables.sql("SELECT pg_relation_size('{s}.records') / current_setting('block_size')::int8");
    let sample = tables.sql("SELECT count(*) FROM {s}.records TABLESAMPLE SYSTEM ($1)");
    let (persistent, own) = (connections.is_prepared(), tables.clone());
    let (records, facts) = connections
        .run("estimate", move |connection| {
            Box::pin(async move {
                let size =
                    sqlx::query(AssertSqlSafe(size)).persistent(persistent).fetch_one(&mut *connection);
                let pages: i64 = size.await?.try_get(0)?;
                let share = if pages <= PAGES { 1.0 } else { PAGES as f32 / pages as f32 };
                let query = sqlx::query(AssertSqlSafe(sample)).persistent(persistent).bind(share * 100.0);
                let counted: i64 = query.fetch_one(&mut *connection).await?.try_get(0)?;
                let facts = match catalogue::read(connection, &own, persistent).await {
                    Ok(facts) => Some(facts),
                    Err(error) if fault::ends_connection(&error) => return Err(error),
                    Err(error) => {
                        tracing::debug!(error = %hydra_api::Causes(&error), "cannot read the catalogue");
                        None
                    }
                };
                Ok((counted as f64 / f64::from(share), facts))
            })
        })
        .await?;
    if let Some(facts) = facts {
        catalogue.keep(facts);
    }
    Ok(Estimate::new(records as u64, Duration::ZERO, EstimateMethod::Sampled))
}

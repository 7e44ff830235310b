//! Records that an operator removes.

use crate::connections::Connections;
use crate::schema::Tables;
use hydra_api::{DeleteProgress, Deleted, Deletion, StoreError};
use sqlx::AssertSqlSafe;
use std::num::NonZeroU32;

/// Rows are locked in the order in which writers lock them: no deadlock.
const KEY: &str = "
WITH gone AS (SELECT key, provider FROM {s}.records WHERE key = $1 ORDER BY provider LIMIT $2 FOR UPDATE)
DELETE FROM {s}.records r USING gone WHERE r.key = gone.key AND r.provider = gone.provider";

const RECORD: &str = "
DELETE FROM {s}.records WHERE key = $1 AND provider = (SELECT id FROM {s}.peers WHERE peer_id = $2)";

/// One step: removes up to `limit` records.
pub(crate) async fn delete(
    connections: &Connections,
    tables: &Tables,
    deletion: Deletion,
    limit: NonZeroU32,
) -> Result<Deleted, StoreError> {
    let text = tables.sql(match deletion {
        Deletion::Key(_) => KEY,
        Deletion::Record(..) => RECORD,
    });
    let persistent = connections.is_prepared();
    let removed = connections
        .run("delete", move |connection| {
            Box::pin(async move {
                let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                let query = query.bind(deletion.key().as_bytes().to_vec());
                let query = match deletion {
                    Deletion::Key(_) => query.bind(i64::from(limit.get())),
                    Deletion::Record(_, peer) => query.bind(peer.as_bytes().to_vec()),
                };
                Ok(query.execute(connection).await?.rows_affected())
            })
        })
        .await?;
    connections.count_rows("delete", usize::try_from(removed).unwrap_or(usize::MAX));
    let more = matches!(deletion, Deletion::Key(_)) && removed >= u64::from(limit.get());
    Ok(Deleted::new(removed, if more { DeleteProgress::More } else { DeleteProgress::Done }))
}

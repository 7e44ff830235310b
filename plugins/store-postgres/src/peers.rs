//! Peers by number: the records name a provider by its number, and its addresses are kept once.

use crate::connections::Connections;
use crate::schema::Tables;
use crate::time::{of_column, to_column};
use bytes::Bytes;
use hydra_api::{Addresses, PeerId, StoreError, UnixSeconds};
use quick_cache::sync::Cache;
use sqlx::{AssertSqlSafe, Row};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How old what is remembered of another node's writes may be: new addresses of a provider that announced itself elsewhere
/// are served after this time at the latest.
const FRESH: Duration = Duration::from_secs(60);
/// A peer is kept for this much longer than its last record, so that it is written once for many records.
const HEADROOM: Duration = Duration::from_secs(6 * 3600);

/// A peer as its row has it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) id: i32,
    pub(crate) peer: PeerId,
    pub(crate) addresses: Addresses,
    pub(crate) addresses_at: UnixSeconds,
    /// No record of the peer expires later.
    expires: UnixSeconds,
    read_at: Instant,
}

/// What a batch says of one provider.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) peer: PeerId,
    /// Its newest addresses; empty to keep those that are known.
    pub(crate) addresses: Addresses,
    /// When its last record of the batch expires.
    pub(crate) expires: UnixSeconds,
}

/// The peers of one store, as far as they are remembered.
#[derive(Debug)]
pub(crate) struct Peers {
    by_id: Cache<i32, Arc<Known>>,
    ids: Cache<PeerId, i32>,
}

impl Peers {
    /// Remembers this many peers.
    pub(crate) fn new(len_max: usize) -> Self {
        Self { by_id: Cache::new(len_max), ids: Cache::new(len_max) }
    }

    fn find(&self, peer: &PeerId) -> Option<Arc<Known>> {
        self.ids.get(peer).and_then(|id| self.by_id.get(&id))
    }

    fn remember(&self, known: Known) -> Arc<Known> {
        let known = Arc::new(known);
        self.ids.insert(known.peer, known.id);
        self.by_id.insert(known.id, Arc::clone(&known));
        known
    }

    /// The peers of these numbers. Those that no row has are left out.
    pub(crate) async fn by_ids(
        &self,
        connections: &Connections,
        tables: &Tables,
        ids: impl IntoIterator<Item = i32>,
    ) -> Result<HashMap<i32, Arc<Known>>, StoreError> {
        let now = Instant::now();
        let (mut found, mut wanted) = (HashMap::new(), Vec::new());
        for id in ids {
            match self.by_id.get(&id) {
                Some(known) if now.saturating_duration_since(known.read_at) < FRESH => {
                    found.insert(id, known);
                }
                _ => wanted.push(id),
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        if !wanted.is_empty() {
            let text =
                tables.sql("SELECT id, peer_id, addrs, addrs_at, expires FROM {s}.peers WHERE id = ANY($1)");
            let persistent = connections.is_prepared();
            let read = connections
                .run("providers", move |connection| {
                    Box::pin(async move {
                        let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent).bind(wanted);
                        let rows = query.fetch_all(connection).await?;
                        rows.iter().map(|row| known(row, now)).collect::<Result<Vec<_>, _>>()
                    })
                })
                .await?;
            found.extend(read.into_iter().flatten().map(|known| (known.id, self.remember(known))));
        }
        Ok(found)
    }

    /// The numbers of the providers of a batch; their rows have these addresses and outlive the records afterwards.
    pub(crate) async fn write(
        &self,
        connections: &Connections,
        tables: &Tables,
        told: Vec<Told>,
        now: UnixSeconds,
    ) -> Result<HashMap<PeerId, i32>, StoreError> {
        let unknown: Vec<PeerId> =
            told.iter().filter(|told| self.find(&told.peer).is_none()).map(|told| told.peer).collect();
        if !unknown.is_empty() {
            self.read(connections, tables, unknown).await?;
        }
        let (new, known): (Vec<_>, Vec<_>) =
            told.into_iter().partition(|told| self.find(&told.peer).is_none());
        let mut ids = HashMap::with_capacity(new.len() + known.len());
        let mut stale = Vec::new();
        for told in known {
            // It may have been forgotten since: then the next batch finds it.
            if let Some(row) = self.find(&told.peer) {
                ids.insert(told.peer, row.id);
                if row.needs(&told, now) {
                    stale.push((row, told));
                }
            }
        }
        if !new.is_empty() {
            ids.extend(self.insert(connections, tables, new, now).await?);
        }
        if !stale.is_empty() {
            self.update(connections, tables, stale, now).await?;
        }
        Ok(ids)
    }

    async fn read(
        &self,
        connections: &Connections,
        tables: &Tables,
        peers: Vec<PeerId>,
    ) -> Result<(), StoreError> {
        let text =
            tables.sql("SELECT id, peer_id, addrs, addrs_at, expires FROM {s}.peers WHERE peer_id = ANY($1)");
        let (persistent, now) = (connections.is_prepared(), Instant::now());
        let read = connections
            .run("insert", move |connection| {
                Box::pin(async move {
                    let ids: Vec<&[u8]> = peers.iter().map(PeerId::as_bytes).collect();
                    let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent).bind(ids);
                    let rows = query.fetch_all(connection).await?;
                    rows.iter().map(|row| known(row, now)).collect::<Result<Vec<_>, _>>()
                })
            })
            .await?;
        read.into_iter().flatten().for_each(|known| drop(self.remember(known)));
        Ok(())
    }

    /// Rows of new peers. `ON CONFLICT` would take a number for each peer that is known already, and numbers run out, so
    /// this is for peers without a row; a peer that another node inserts meanwhile is read.
    async fn insert(
        &self,
        connections: &Connections,
        tables: &Tables,
        mut new: Vec<Told>,
        now: UnixSeconds,
    ) -> Result<HashMap<PeerId, i32>, StoreError> {
        // In one order at every node: no deadlock.
        new.sort_unstable_by(|one, other| one.peer.as_bytes().cmp(other.peer.as_bytes()));
        let text = tables.sql(
            "INSERT INTO {s}.peers (peer_id, addrs, addrs_at, expires) \
             SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::int4[], $4::int4[]) ON CONFLICT (peer_id) DO NOTHING",
        );
        let persistent = connections.is_prepared();
        let peers: Vec<PeerId> = new.iter().map(|told| told.peer).collect();
        connections
            .run("insert", move |connection| {
                Box::pin(async move {
                    let ids: Vec<&[u8]> = new.iter().map(|told| told.peer.as_bytes()).collect();
                    let addresses: Vec<Option<&[u8]>> =
                        new.iter().map(|told| encoded(&told.addresses)).collect();
                    let at = vec![to_column(now); new.len()];
                    let expires: Vec<i32> =
                        new.iter().map(|told| to_column(told.expires.saturating_add(HEADROOM))).collect();
                    let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                    query.bind(ids).bind(addresses).bind(at).bind(expires).execute(connection).await
                })
            })
            .await?;
        self.read(connections, tables, peers.clone()).await?;
        Ok(peers.into_iter().filter_map(|peer| Some((peer, self.find(&peer)?.id))).collect())
    }

    async fn update(
        &self,
        connections: &Connections,
        tables: &Tables,
        mut stale: Vec<(Arc<Known>, Told)>,
        now: UnixSeconds,
    ) -> Result<(), StoreError> {
        stale.sort_unstable_by_key(|(row, _)| row.id);
        let text = tables.sql(UPDATE);
        let persistent = connections.is_prepared();
        let written: Vec<Known> = stale.iter().map(|(row, told)| row.after(told, now)).collect();
        connections
            .run("insert", move |connection| {
                Box::pin(async move {
                    let ids: Vec<i32> = stale.iter().map(|(row, _)| row.id).collect();
                    let addresses: Vec<Option<&[u8]>> =
                        stale.iter().map(|(_, told)| encoded(&told.addresses)).collect();
                    let expires: Vec<i32> = stale
                        .iter()
                        .map(|(_, told)| to_column(told.expires.saturating_add(HEADROOM)))
                        .collect();
                    let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                    query
                        .bind(ids)
                        .bind(addresses)
                        .bind(to_column(now))
                        .bind(expires)
                        .execute(connection)
                        .await
                })
            })
            .await?;
        written.into_iter().for_each(|known| drop(self.remember(known)));
        Ok(())
    }
}

/// Rows are locked in the order of their numbers first, so that two nodes cannot deadlock.
const UPDATE: &str = "
WITH told AS (SELECT * FROM unnest($1::int4[], $2::bytea[], $4::int4[]) t (id, addrs, expires)),
locked AS MATERIALIZED (
    SELECT p.id FROM {s}.peers p WHERE p.id = ANY($1) ORDER BY p.id FOR NO KEY UPDATE)
UPDATE {s}.peers p SET addrs = coalesce(t.addrs, p.addrs),
    addrs_at = CASE WHEN t.addrs IS NULL THEN p.addrs_at ELSE $3 END, expires = greatest(p.expires, t.expires)
FROM told t JOIN locked USING (id) WHERE p.id = t.id";

impl Known {
    /// True if the row has to change for what a batch says.
    fn needs(&self, told: &Told, now: UnixSeconds) -> bool {
        let is_old = now.since(self.addresses_at) > Addresses::SLACK / 2 || self.addresses_at > now;
        told.expires > self.expires
            || (!told.addresses.is_empty() && (is_old || told.addresses != self.addresses))
    }

    /// The row after an update.
    fn after(&self, told: &Told, now: UnixSeconds) -> Self {
        let mut after = Self { read_at: Instant::now(), ..self.clone() };
        after.expires = after.expires.max(told.expires.saturating_add(HEADROOM));
        if !told.addresses.is_empty() {
            after.addresses = told.addresses.clone();
            after.addresses_at = now;
        }
        after
    }
}

fn encoded(addresses: &Addresses) -> Option<&[u8]> {
    (!addresses.is_empty()).then(|| &addresses.encoded()[..])
}

/// The peer of a row; none if its bytes are no peer id, as after damage by hand. Addresses that cannot be read are none.
fn known(row: &sqlx::postgres::PgRow, read_at: Instant) -> Result<Option<Known>, sqlx::Error> {
    let Ok(peer) = PeerId::new(row.try_get::<&[u8], _>(1)?) else { return Ok(None) };
    let addresses = row.try_get::<Option<&[u8]>, _>(2)?.unwrap_or_default();
    Ok(Some(Known {
        id: row.try_get(0)?,
        peer,
        addresses: Addresses::from_encoded(Bytes::copy_from_slice(addresses)).unwrap_or_default(),
        addresses_at: of_column(row.try_get(3)?),
        expires: of_column(row.try_get(4)?),
        read_at,
    }))
}

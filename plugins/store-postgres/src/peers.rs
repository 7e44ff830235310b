//! Peers by number: the records name a provider by its number, and its addresses are kept once.
//!
//! What is remembered of rows saves statements and is never the last word: other nodes change rows, a purge or an operator removes
//! them, and a backup gives numbers to other peers. The insert of the records compares with the rows (see `insert`).

use crate::connections::Connections;
use crate::schema::Tables;
use crate::time::{of_column, to_column};
use bytes::Bytes;
use hydra_api::{Addresses, PeerId, StoreError, UnixSeconds};
use hydra_remote::{PROVIDER_FRESH, PROVIDER_HEADROOM, ProviderNews};
use quick_cache::sync::Cache;
use sqlx::{AssertSqlSafe, Row};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

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
        self.ids.get(peer).and_then(|id| self.by_id.get(&id)).filter(|known| known.peer == *peer)
    }

    /// Forgets a peer whose row is not as remembered.
    pub(crate) fn forget(&self, peer: &PeerId) {
        let Some((_, id)) = self.ids.remove(peer) else { return };
        drop(self.by_id.remove_if(&id, |known| known.peer == *peer));
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
                Some(known) if now.saturating_duration_since(known.read_at) < PROVIDER_FRESH => {
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
            connections.count_rows("providers", read.len());
            found.extend(read.into_iter().flatten().map(|known| (known.id, self.remember(known))));
        }
        Ok(found)
    }

    /// The numbers of the providers of a batch. As far as is known their rows have these addresses and outlive the records
    /// afterwards; a provider whose row was removed meanwhile is left out.
    pub(crate) async fn write(
        &self,
        connections: &Connections,
        tables: &Tables,
        news: Vec<ProviderNews>,
        now: UnixSeconds,
    ) -> Result<HashMap<PeerId, i32>, StoreError> {
        let unknown: Vec<PeerId> =
            news.iter().filter(|news| self.find(&news.peer).is_none()).map(|news| news.peer).collect();
        if !unknown.is_empty() {
            self.read(connections, tables, unknown).await?;
        }
        let (new, known): (Vec<_>, Vec<_>) =
            news.into_iter().partition(|news| self.find(&news.peer).is_none());
        let mut ids = HashMap::with_capacity(new.len() + known.len());
        let mut stale = Vec::new();
        for news in known {
            // It may have been forgotten since: then the next batch finds it.
            if let Some(row) = self.find(&news.peer) {
                ids.insert(news.peer, row.id);
                if row.needs(&news, now) {
                    stale.push((row, news));
                }
            }
        }
        if !new.is_empty() {
            ids.extend(self.insert(connections, tables, new, now).await?);
        }
        if !stale.is_empty() {
            for gone in self.update(connections, tables, stale, now).await? {
                ids.remove(&gone);
            }
        }
        // A number that two peers seem to have, as another call learns meanwhile that it was given away, is neither's.
        let mut owners: HashMap<i32, u32> = HashMap::with_capacity(ids.len());
        ids.values().for_each(|id| *owners.entry(*id).or_default() += 1);
        ids.retain(|_, id| owners.get(id) == Some(&1));
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
        connections.count_rows("insert", read.len());
        read.into_iter().flatten().for_each(|known| drop(self.remember(known)));
        Ok(())
    }

    /// Rows of new peers. `ON CONFLICT` would take a number for each peer that is known already, and numbers run out, so
    /// this is for peers without a row; a peer that another node inserts meanwhile is read.
    async fn insert(
        &self,
        connections: &Connections,
        tables: &Tables,
        mut new: Vec<ProviderNews>,
        now: UnixSeconds,
    ) -> Result<HashMap<PeerId, i32>, StoreError> {
        // In one order at every node: no deadlock.
        new.sort_unstable_by(|one, other| one.peer.as_bytes().cmp(other.peer.as_bytes()));
        let text = tables.sql(
            "INSERT INTO {s}.peers (peer_id, addrs, addrs_at, expires) \
             SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::int4[], $4::int4[]) ON CONFLICT (peer_id) DO NOTHING",
        );
        let persistent = connections.is_prepared();
        let peers: Vec<PeerId> = new.iter().map(|news| news.peer).collect();
        connections.count_rows("insert", peers.len());
        connections
            .run("insert", move |connection| {
                Box::pin(async move {
                    let ids: Vec<&[u8]> = new.iter().map(|news| news.peer.as_bytes()).collect();
                    let addresses: Vec<Option<&[u8]>> =
                        new.iter().map(|news| encoded(&news.addresses)).collect();
                    let at = vec![to_column(now); new.len()];
                    let expires: Vec<i32> = new
                        .iter()
                        .map(|news| to_column(news.expires.saturating_add(PROVIDER_HEADROOM)))
                        .collect();
                    let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                    query.bind(ids).bind(addresses).bind(at).bind(expires).execute(connection).await
                })
            })
            .await?;
        self.read(connections, tables, peers.clone()).await?;
        Ok(peers.into_iter().filter_map(|peer| Some((peer, self.find(&peer)?.id))).collect())
    }

    /// Changes rows. Returns the peers whose rows are gone, or are another peer's.
    async fn update(
        &self,
        connections: &Connections,
        tables: &Tables,
        mut stale: Vec<(Arc<Known>, ProviderNews)>,
        now: UnixSeconds,
    ) -> Result<Vec<PeerId>, StoreError> {
        stale.sort_unstable_by_key(|(row, _)| row.id);
        let text = tables.sql(UPDATE);
        let persistent = connections.is_prepared();
        connections.count_rows("insert", stale.len());
        let written: Vec<Known> = stale.iter().map(|(row, news)| row.after(news, now)).collect();
        let changed: HashSet<i32> = connections
            .run("insert", move |connection| {
                Box::pin(async move {
                    let ids: Vec<i32> = stale.iter().map(|(row, _)| row.id).collect();
                    let peers: Vec<&[u8]> = stale.iter().map(|(row, _)| row.peer.as_bytes()).collect();
                    let addresses: Vec<Option<&[u8]>> =
                        stale.iter().map(|(_, news)| encoded(&news.addresses)).collect();
                    let expires: Vec<i32> = stale
                        .iter()
                        .map(|(_, news)| to_column(news.expires.saturating_add(PROVIDER_HEADROOM)))
                        .collect();
                    let query = sqlx::query(AssertSqlSafe(text)).persistent(persistent);
                    let query =
                        query.bind(ids).bind(addresses).bind(to_column(now)).bind(expires).bind(peers);
                    query.fetch_all(connection).await?.iter().map(|row| row.try_get(0)).collect()
                })
            })
            .await?;
        let mut gone = Vec::new();
        for known in written {
            if changed.contains(&known.id) {
                self.remember(known);
            } else {
                self.forget(&known.peer);
                gone.push(known.peer);
            }
        }
        Ok(gone)
    }
}

/// Rows are locked in the order of their numbers first, so that two nodes cannot deadlock.
const UPDATE: &str = "
WITH news AS (SELECT * FROM unnest($1::int4[], $2::bytea[], $4::int4[], $5::bytea[]) t (id, addrs, expires, peer_id)),
locked AS MATERIALIZED (
    SELECT p.id FROM {s}.peers p WHERE p.id = ANY($1) ORDER BY p.id FOR NO KEY UPDATE)
UPDATE {s}.peers p SET addrs = coalesce(t.addrs, p.addrs),
    addrs_at = CASE WHEN t.addrs IS NULL THEN p.addrs_at ELSE $3 END, expires = greatest(p.expires, t.expires)
FROM news t JOIN locked USING (id) WHERE p.id = t.id AND p.peer_id = t.peer_id
RETURNING p.id";

impl Known {
    /// True if the row has to change for what a batch says.
    fn needs(&self, news: &ProviderNews, now: UnixSeconds) -> bool {
        news.expires > self.expires || news.changes(&self.addresses, self.addresses_at, now)
    }

    /// The row after an update.
    fn after(&self, news: &ProviderNews, now: UnixSeconds) -> Self {
        let mut after = Self { read_at: Instant::now(), ..self.clone() };
        after.expires = after.expires.max(news.expires.saturating_add(PROVIDER_HEADROOM));
        if !news.addresses.is_empty() {
            after.addresses = news.addresses.clone();
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

//! Peers: the records name a provider by its fingerprint, and its id and addresses are kept once.

mod plain;
mod row;

pub(crate) use row::Row;

use crate::keyspace::Keyspace;
use crate::layout::{Fingerprint, Form, Layout};
use crate::net::{Fault, Request};
use crate::scripts;
use hydra_api::{PeerId, UnixSeconds};
use hydra_remote::{PROVIDER_FRESH, PROVIDER_HEADROOM, ProviderNews};
use quick_cache::sync::Cache;
use redis::Value;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug)]
struct Known {
    row: Arc<Row>,
    read_at: Instant,
    /// The row outlives records up to this expiry.
    covers: UnixSeconds,
    /// How many connections had been lost when it was written: what came before may be lost too.
    losses: u64,
}

/// How the write of a peer's row has ended.
#[derive(Debug, Clone)]
pub(crate) enum Written {
    Done(Fingerprint),
    Failed(Fault),
    /// The row is that of another peer with the same fingerprint.
    Foreign,
}

/// The rows of some fingerprints.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) found: HashMap<Fingerprint, Arc<Row>>,
    /// Those whose server could not be asked.
    pub(crate) failed: HashMap<Fingerprint, Fault>,
}

/// The peers of one store, as far as they are remembered.
#[derive(Debug)]
pub(crate) struct Peers {
    known: Cache<Fingerprint, Arc<Known>>,
}

impl Peers {
    /// Remembers this many peers.
    pub(crate) fn new(len_max: usize) -> Self {
        Self { known: Cache::new(len_max) }
    }

    /// Forgets all, after the keys were removed.
    pub(crate) fn clear(&self) {
        self.known.clear();
    }

    /// The rows of these fingerprints. One that is not there is left out: half a record reads as none.
    pub(crate) async fn rows(
        &self,
        keys: &Keyspace,
        layout: &Layout,
        fingerprints: impl IntoIterator<Item = Fingerprint>,
    ) -> Rows {
        let (mut rows, now) = (Rows::default(), Instant::now());
        let fingerprints: HashSet<Fingerprint> = fingerprints.into_iter().collect();
        let mut wanted = Vec::new();
        for fingerprint in fingerprints {
            match self.known.get(&fingerprint) {
                Some(known) if now.saturating_duration_since(known.read_at) < PROVIDER_FRESH => {
                    rows.found.insert(fingerprint, Arc::clone(&known.row));
                }
                _ => wanted.push(fingerprint),
            }
        }
        for (fingerprint, answer) in wanted.iter().zip(get(keys, layout, &wanted).await) {
            match answer {
                Ok(row) => {
                    if let Some(row) = row {
                        self.remember(*fingerprint, Arc::clone(&row), (now, UnixSeconds(0), 0));
                        rows.found.insert(*fingerprint, row);
                    }
                }
                Err(fault) => match self.known.get(fingerprint) {
                    // Old addresses are better than none.
                    Some(known) => drop(rows.found.insert(*fingerprint, Arc::clone(&known.row))),
                    None => drop(rows.failed.insert(*fingerprint, fault)),
                },
            }
        }
        rows
    }

    fn remember(
        &self,
        fingerprint: Fingerprint,
        row: Arc<Row>,
        (read_at, covers, losses): (Instant, UnixSeconds, u64),
    ) {
        let (mut covers, mut losses) = (covers, losses);
        if let Some(before) = self.known.get(&fingerprint)
            && before.covers > covers
        {
            (covers, losses) = (before.covers, before.losses);
        }
        self.known.insert(fingerprint, Arc::new(Known { row, read_at, covers, losses }));
    }

    fn says_the_same(&self, fingerprint: &Fingerprint, news: &ProviderNews) -> bool {
        self.known.get(fingerprint).is_some_and(|known| {
            let is_known = news.addresses.is_empty() || news.addresses == known.row.addresses;
            known.row.peer == news.peer && is_known
        })
    }

    /// Writes the rows that have to change for what a batch says.
    pub(crate) async fn write(
        &self,
        keys: &Keyspace,
        layout: &Layout,
        news: Vec<ProviderNews>,
        now: UnixSeconds,
    ) -> HashMap<PeerId, Written> {
        let (losses, read_at) = (keys.fleet.connector.losses(), Instant::now());
        let mut written = HashMap::with_capacity(news.len());
        let mut stale = Vec::new();
        for news in news {
            let fingerprint = layout.fingerprint(&news.peer);
            match self.known.get(&fingerprint) {
                Some(known) if known.losses == losses && !known.needs(&news, now, read_at) => {
                    let same = known.row.peer == news.peer;
                    let how = if same { Written::Done(fingerprint) } else { Written::Foreign };
                    written.insert(news.peer, how);
                }
                _ => stale.push((fingerprint, news)),
            }
        }
        let rows = match layout.form {
            Form::Buckets { .. } => put(keys, layout, &stale, now).await,
            Form::Plain => plain::put(keys, layout, &stale, now).await,
        };
        for ((fingerprint, news), row) in stale.into_iter().zip(rows) {
            let how = match row {
                Ok(Some(row)) if row.peer == news.peer => {
                    // What the keys outlive is a promise from before the headroom.
                    let covers = news.expires.saturating_add(PROVIDER_HEADROOM);
                    self.remember(fingerprint, row, (read_at, covers, losses));
                    Written::Done(fingerprint)
                }
                Ok(_) => Written::Foreign,
                // The row is there as far as is known, and says the same: its server costs other servers' keys nothing.
                Err(_) if self.says_the_same(&fingerprint, &news) => Written::Done(fingerprint),
                Err(fault) => Written::Failed(fault),
            };
            written.insert(news.peer, how);
        }
        written
    }
}

impl Known {
    /// True if the row has to be written for what a batch says: it has to change, or it is remembered from so long ago that another
    /// node may have written other addresses, or that it may be gone.
    fn needs(&self, news: &ProviderNews, now: UnixSeconds, at: Instant) -> bool {
        let Row { addresses, addresses_at, .. } = &*self.row;
        let is_old = at.saturating_duration_since(self.read_at) >= PROVIDER_FRESH;
        is_old || news.expires > self.covers || news.changes(addresses, *addresses_at, now)
    }
}

/// How long a row is kept.
fn life(news: &ProviderNews, now: UnixSeconds) -> u64 {
    (news.expires.since(now) + 2 * PROVIDER_HEADROOM).as_secs()
}

/// Lowers the time that peers' rows are kept, as far as it was set for records whose expiry is now `latest`. It cannot be too short
/// for others: no record expires later. A row that is not reached is kept for longer.
pub(crate) async fn shorten(
    keys: &Keyspace,
    layout: &Layout,
    fingerprints: HashSet<Fingerprint>,
    (now, latest): (UnixSeconds, UnixSeconds),
) {
    let seconds = (latest.since(now) + 2 * PROVIDER_HEADROOM).as_secs();
    let request = |fingerprint: Fingerprint| {
        let name = layout.peer(&fingerprint);
        let mut command = redis::cmd("EXPIRE");
        command.arg(&name.bytes).arg(seconds);
        Request { slot: name.slot, command, script: None }
    };
    let requests: Vec<_> = fingerprints.into_iter().map(request).collect();
    for fault in keys.fleet.send(&requests).await.into_iter().filter_map(Result::err) {
        tracing::debug!(%fault, "the row of a peer is kept for longer than its records");
    }
}

/// Reads rows.
async fn get(
    keys: &Keyspace,
    layout: &Layout,
    fingerprints: &[Fingerprint],
) -> Vec<Result<Option<Arc<Row>>, Fault>> {
    let request = |fingerprint: &Fingerprint| {
        let name = layout.peer(fingerprint);
        let mut command = redis::cmd("GET");
        command.arg(&name.bytes);
        Request { slot: name.slot, command, script: None }
    };
    let requests: Vec<_> = fingerprints.iter().map(request).collect();
    keys.fleet.send(&requests).await.into_iter().map(|answer| answer.map(|said| row(&said))).collect()
}

fn row(said: &Value) -> Option<Arc<Row>> {
    match said {
        Value::BulkString(bytes) => Row::of_bytes(bytes).map(Arc::new),
        _ => None,
    }
}

/// Writes rows by script; the rows afterwards.
async fn put(
    keys: &Keyspace,
    layout: &Layout,
    stale: &[(Fingerprint, ProviderNews)],
    now: UnixSeconds,
) -> Vec<Result<Option<Arc<Row>>, Fault>> {
    let request = |(fingerprint, news): &(Fingerprint, ProviderNews)| {
        let name = layout.peer(fingerprint);
        let mut command = scripts::PEER.call(&[&name.bytes]);
        command.arg(news.peer.as_bytes()).arg(&news.addresses.encoded()[..]);
        command.arg(&now.0.to_be_bytes()).arg(life(news, now));
        Request { slot: name.slot, command, script: Some(&scripts::PEER) }
    };
    let requests: Vec<_> = stale.iter().map(request).collect();
    keys.fleet.send(&requests).await.into_iter().map(|answer| answer.map(|said| row(&said))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydra_conformance::given::{NOW, record};
    use std::time::Duration;

    #[test]
    fn a_row_that_is_remembered_from_long_ago_is_written_again() {
        let record = record(1, 1);
        let row = Row { peer: record.provider, addresses: record.addresses.clone(), addresses_at: NOW };
        let read_at = Instant::now();
        let covers = record.expires.saturating_add(PROVIDER_HEADROOM);
        let known = Known { row: Arc::new(row), read_at, covers, losses: 0 };
        let news = ProviderNews::of_batch(&[record]).remove(0);
        assert!(!known.needs(&news, NOW, read_at + PROVIDER_FRESH - Duration::from_secs(1)));
        // Another node may have written other addresses, or the row may be gone.
        assert!(known.needs(&news, NOW, read_at + PROVIDER_FRESH));
    }
}

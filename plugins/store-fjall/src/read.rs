//! The living providers of keys.

use crate::fault::Fault;
use crate::layout::{self, Entry, Row};
use fjall::{Database, Keyspace, Readable, Snapshot};
use hydra_api::{ContentKey, Found, Provider, StoreErrorKind, UnixSeconds};
use hydra_embedded::values::ValueTally;
use hydra_embedded::{DamagedRow, ProviderCache};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a reader needs; dropped by all before the database can be closed.
pub(crate) struct Reader {
    pub(crate) db: Database,
    pub(crate) rows: Keyspace,
    pub(crate) by_number: Arc<ProviderCache>,
    pub(crate) turn: AtomicU32,
    pub(crate) values: Arc<ValueTally>,
}

/// What a read found.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    /// One entry a key.
    pub(crate) found: Vec<T>,
    /// The damage for which the first of those that are unknown is.
    pub(crate) damaged: Option<Fault>,
}

impl<T> Answer<T> {
    /// Reads each key. Damage costs the keys that it meets and no others; if it meets all of them the call fails, which says more.
    pub(crate) fn of<K>(
        keys: &[K],
        known: impl Fn(&K) -> Result<T, Fault>,
        unknown: impl Fn(StoreErrorKind) -> T,
    ) -> Result<Self, Fault> {
        let (mut answer, mut known_len) = (Self { found: Vec::with_capacity(keys.len()), damaged: None }, 0);
        for key in keys {
            answer.found.push(match known(key) {
                Ok(found) => {
                    known_len += 1;
                    found
                }
                Err(Fault(fault)) if fault.is_damage() => {
                    let kind = fault.kind();
                    answer.damaged.get_or_insert(Fault(fault));
                    unknown(kind)
                }
                Err(fault) => return Err(fault),
            });
        }
        match answer.damaged.take() {
            Some(damaged) if known_len == 0 => Err(damaged),
            damaged => Ok(Self { damaged, ..answer }),
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Reader {
    /// One entry a key, all as of the same moment.
    pub(crate) fn providers(
        &self,
        keys: &[ContentKey],
        now: UnixSeconds,
        limit: usize,
    ) -> Result<Answer<Found>, Fault> {
        let snapshot = self.db.snapshot();
        let of_key = |key: &_| self.of_key(&snapshot, key, now, limit).map(Found::Known);
        Answer::of(keys, of_key, Found::Unknown)
    }

    fn of_key(
        &self,
        snapshot: &Snapshot,
        key: &ContentKey,
        now: UnixSeconds,
        limit: usize,
    ) -> Result<Vec<Provider>, Fault> {
        let Some(value) = snapshot.get(&self.rows, layout::record_key(key.as_bytes()))? else {
            return Ok(Vec::new());
        };
        let row = Row::decode(&value)?;
        let mut living: Vec<_> = row.entries.iter().take(row.living(now).min(limit)).copied().collect();
        if living.len() < limit && row.surplus > 0 {
            self.add_surplus(snapshot, key, now, limit, &mut living)?;
            living.sort_by_key(|entry| std::cmp::Reverse(entry.expires));
        }
        let mut providers = Vec::with_capacity(living.len());
        for Entry { number, expires } in living {
            if let Some(provider) = self.by_number.find(number, |row| Ok::<_, Fault>(self.rows.get(row)?))? {
                providers.push(provider.of_record(expires));
            }
        }
        Ok(providers)
    }

    /// Fills up from the surplus, from another provider on each time, so that not always the same are left out.
    fn add_surplus(
        &self,
        snapshot: &Snapshot,
        key: &ContentKey,
        now: UnixSeconds,
        limit: usize,
        living: &mut Vec<Entry>,
    ) -> Result<(), Fault> {
        // Steps of the golden ratio come by everywhere; numbers are given out from 0 up, so the top bits are spared.
        let turn = self.turn.fetch_add(0x9e37_79b9, Ordering::Relaxed);
        let start = turn % self.numbers_end(snapshot)?.max(1);
        let parts = [(start, u32::MAX), (0, start.saturating_sub(1))];
        for (from, to) in parts.into_iter().take(if start == 0 { 1 } else { 2 }) {
            for row in snapshot.range(&self.rows, layout::surplus_range(key, from, to)) {
                let (row, value) = row.into_inner()?;
                let expires = UnixSeconds(layout::decode_u32(&value, "the surplus")?);
                if expires > now {
                    let (_, number) = layout::split_surplus_key(&row)?;
                    living.push(Entry { number, expires });
                    if living.len() == limit {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Where the numbers of providers end.
    fn numbers_end(&self, snapshot: &Snapshot) -> Result<u32, Fault> {
        let counts = snapshot.get(&self.rows, layout::META)?.ok_or(DamagedRow("counts"))?;
        Ok(layout::Counts::decode(&counts, layout::VERSION)?.next_provider)
    }
}

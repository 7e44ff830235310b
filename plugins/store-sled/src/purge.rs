//! Expired records, and providers that have none left, removed in steps of one pass after another over all rows.

use crate::engine::Engine;
use crate::fault::Fault;
use crate::layout::{self, PROVIDERS, RECORDS, StoredProvider};
use hydra_api::{PurgeProgress, Purged, UnixSeconds};
use std::ops::Bound;

/// Rows that a step looks at.
const ROWS_MAX: usize = 4096;

/// Rows that a step removes at most, whatever its limit: sled lets nobody read during a write.
const REMOVED_MAX: u64 = 512;

/// How far the pass has come: the last row that is done; empty before the first.
pub(crate) type Done = Vec<u8>;

impl Engine {
    /// One step: removes up to `limit` records. Only one caller at a time.
    /// Expiries after `latest` are lowered to it.
    pub(crate) fn purge(
        &self,
        done: &mut Done,
        now: UnixSeconds,
        latest: UnixSeconds,
        limit: u64,
    ) -> Result<Purged, Fault> {
        let limit = limit.min(REMOVED_MAX);
        let mut lowered = 0;
        let from = if done.is_empty() { vec![PROVIDERS] } else { done.clone() };
        let mut write = sled::Batch::default();
        let (mut last, mut removed, mut forgotten) = (from.clone(), 0, Vec::new());
        let mut progress = PurgeProgress::Done;
        let rows = self.rows.range::<Vec<u8>, _>((Bound::Excluded(from), Bound::Unbounded));
        for (looked_at, row) in rows.enumerate() {
            let (key, value) = row?;
            if looked_at == ROWS_MAX || removed + lowered >= limit || forgotten.len() as u64 == REMOVED_MAX {
                progress = PurgeProgress::More;
                break;
            }
            match key.first() {
                Some(&PROVIDERS) => {
                    let number = layout::number_of(&key, "providers")?;
                    let known = StoredProvider::decode(number, &value)?;
                    if known.until <= now {
                        // What is left of its records has expired, and is found later in this pass.
                        write.remove(&key);
                        write.remove(&layout::number_key(&known.peer)[..]);
                        forgotten.push(number);
                    }
                }
                Some(&RECORDS) => {
                    let expires = UnixSeconds(layout::decode_u32(&value, "records")?);
                    if expires <= now {
                        write.remove(&key);
                        removed += 1;
                    } else if expires > latest {
                        write.insert(&key, &latest.0.to_le_bytes()[..]);
                        lowered += 1;
                    }
                }
                _ => {}
            }
            last = key.to_vec();
        }
        let mut next = self.counts();
        next.records = next.records.saturating_sub(removed);
        if removed + lowered > 0 || !forgotten.is_empty() {
            self.commit(write, next)?;
        }
        forgotten.into_iter().for_each(|number| self.providers.remove(number));
        *done = if progress == PurgeProgress::Done { Done::new() } else { last };
        Ok(Purged::new(removed, progress))
    }
}

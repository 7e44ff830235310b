//! Expired records, and providers that have none left, removed in steps of one pass after another over all rows.
//!
//! A pass also counts what it leaves, and so puts the store's count right, which does not see what fjall's own
//! compaction dropped.

use crate::engine::Engine;
use crate::fault::Fault;
use crate::layout::{self, PROVIDERS, RECORDS, Row, SURPLUS, StoredProvider};
use crate::pass::Pass;
use fjall::OwnedWriteBatch;
use hydra_api::{PeerId, PurgeProgress, Purged, UnixSeconds};
use std::ops::Bound;

/// Rows that a step looks at: a write waits no longer than that takes.
const ROWS_MAX: usize = 4096;

/// What one step has found.
#[derive(Default)]
struct Step {
    removed: u64,
    /// Records seen in rows of keys, those of their surplus included.
    kept: u64,
    done: Vec<u8>,
    /// Of those removed, the ones of the surplus: the pass has counted them with the rows of their keys.
    of_surplus: u64,
    /// Rows of the surplus removed of the key at hand.
    surplus: Option<(Vec<u8>, u32)>,
    forgotten: Vec<(u32, PeerId)>,
    /// Whether the step saw the end of all rows.
    at_end: bool,
}

impl Engine {
    /// One step: removes up to `limit` records, and lowers expiries that are later than the engine's latest.
    pub(crate) fn purge(&mut self, now: UnixSeconds, limit: u64) -> Result<Purged, Fault> {
        let mut write = self.db.batch();
        let mut step = Step { done: self.pass.done.clone(), ..Step::default() };
        self.look_through(&mut step, &mut write, now, limit)?;
        if let Some((key, removed)) = step.surplus.take() {
            self.shrink_surplus(&mut write, &key, removed)?;
        }
        let mut next = self.counts;
        next.records = next.records.saturating_sub(step.removed);
        let records = (self.pass.records + step.kept).saturating_sub(step.of_surplus);
        if step.at_end {
            next.records = records;
        }
        self.commit(write, next)?;
        for (number, peer) in step.forgotten {
            self.by_peer.remove(number, &peer, &self.by_number);
        }
        self.pass = if step.at_end { Pass::default() } else { Pass { done: step.done, records } };
        let progress = if step.at_end { PurgeProgress::Done } else { PurgeProgress::More };
        Ok(Purged::new(step.removed, progress))
    }

    /// Goes on from where the pass stands, through rows of one kind: what one kind of row changes of another is then
    /// never waiting in the same batch.
    fn look_through(
        &self,
        step: &mut Step,
        write: &mut OwnedWriteBatch,
        now: UnixSeconds,
        limit: u64,
    ) -> Result<(), Fault> {
        let from = if step.done.is_empty() { vec![PROVIDERS] } else { step.done.clone() };
        let mut rows = self.rows.range::<Vec<u8>, _>((Bound::Excluded(from), Bound::Unbounded));
        let mut kind = None;
        for _ in 0..ROWS_MAX {
            let Some(row) = rows.next() else {
                step.at_end = true;
                return Ok(());
            };
            let (key, value) = row.into_inner()?;
            if *kind.get_or_insert(key.first().copied()) != key.first().copied() {
                return Ok(());
            }
            let through = match key.first() {
                Some(&PROVIDERS) => self.forget_provider(step, write, &key, &value, now)?,
                Some(&RECORDS) => self.prune_row(step, write, &key, &value, now, limit)?,
                Some(&SURPLUS) => self.prune_surplus(step, write, &key, &value, now, limit)?,
                _ => true,
            };
            if !through {
                return Ok(());
            }
            step.done = key.to_vec();
        }
        Ok(())
    }

    /// A provider whose records have all expired is forgotten; what is left of them is never returned any more.
    fn forget_provider(
        &self,
        step: &mut Step,
        write: &mut OwnedWriteBatch,
        key: &[u8],
        value: &[u8],
        now: UnixSeconds,
    ) -> Result<bool, Fault> {
        let known = StoredProvider::decode(layout::number_of(key, "providers")?, value)?;
        if known.until <= now {
            write.remove(&self.rows, key);
            write.remove(&self.rows, &layout::number_key(&known.peer)[..]);
            step.forgotten.push((known.number, known.peer));
        }
        Ok(true)
    }

    /// Whether the row is through, or holds expired records beyond the limit.
    fn prune_row(
        &self,
        step: &mut Step,
        write: &mut OwnedWriteBatch,
        key: &[u8],
        value: &[u8],
        now: UnixSeconds,
        limit: u64,
    ) -> Result<bool, Fault> {
        let mut row = Row::decode(value)?;
        let (living, len) = (row.living(now), row.entries.len());
        let expired = (len - living) as u64;
        let going = expired.min(limit - step.removed);
        if expired > 0 && going == 0 {
            return Ok(false);
        }
        let lowered = row.expire_by(self.latest);
        if going > 0 || lowered {
            row.entries.truncate(len - going as usize);
            step.removed += going;
            if row.records() == 0 {
                write.remove(&self.rows, key);
            } else {
                write.insert(&self.rows, key, row.encode());
            }
        }
        let through = going == expired;
        if through {
            step.kept += row.records();
        }
        Ok(through)
    }

    fn prune_surplus(
        &self,
        step: &mut Step,
        write: &mut OwnedWriteBatch,
        key: &[u8],
        value: &[u8],
        now: UnixSeconds,
        limit: u64,
    ) -> Result<bool, Fault> {
        let expires = UnixSeconds(layout::decode_u32(value, "the surplus")?);
        if expires > now {
            if expires > self.latest {
                write.insert(&self.rows, key, &self.latest.0.to_le_bytes()[..]);
            }
            return Ok(true);
        }
        if step.removed == limit {
            return Ok(false);
        }
        let (content_key, _) = layout::split_surplus_key(key)?;
        match &mut step.surplus {
            Some((of, removed)) if *of == content_key => *removed += 1,
            other => {
                if let Some((of, removed)) = other.replace((content_key.to_vec(), 1)) {
                    self.shrink_surplus(write, &of, removed)?;
                }
            }
        }
        write.remove(&self.rows, key);
        step.removed += 1;
        step.of_surplus += 1;
        Ok(true)
    }

    /// Takes rows of the surplus off the count in the row of their key.
    fn shrink_surplus(&self, write: &mut OwnedWriteBatch, key: &[u8], removed: u32) -> Result<(), Fault> {
        let key = layout::record_key(key);
        let Some(value) = self.rows.get(&key)? else { return Ok(()) };
        let mut row = Row::decode(&value)?;
        row.surplus = row.surplus.saturating_sub(removed);
        if row.records() == 0 {
            write.remove(&self.rows, &key[..]);
        } else {
            write.insert(&self.rows, &key[..], row.encode());
        }
        Ok(())
    }
}

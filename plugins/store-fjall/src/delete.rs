//! Records that an operator removes.

use crate::engine::Engine;
use crate::fault::Fault;
use crate::layout::{self, Row};
use fjall::OwnedWriteBatch;
use hydra_api::{ContentKey, DeleteProgress, Deleted, Deletion};

impl Engine {
    /// One step: removes up to `limit` records of a key, or its record of one provider, all of them or none.
    pub(crate) fn delete(&mut self, deletion: Deletion, limit: u64) -> Result<Deleted, Fault> {
        let key = deletion.key();
        let row_key = layout::record_key(key.as_bytes());
        let nothing = Deleted::new(0, DeleteProgress::Done);
        let Some(value) = self.rows.get(&row_key)? else { return Ok(nothing) };
        let mut row = Row::decode(&value)?;
        let mut write = self.db.batch();
        let removed = match deletion {
            Deletion::Key(_) => self.remove_some(&mut write, key, &mut row, limit)?,
            Deletion::Record(_, peer) => match self.by_peer.find(&peer, &self.rows)? {
                Some(known) => self.remove_one(&mut write, key, &mut row, known.number)?,
                None => 0,
            },
        };
        if removed == 0 {
            return Ok(nothing);
        }
        if row.records() == 0 {
            write.remove(&self.rows, &row_key[..]);
        } else {
            write.insert(&self.rows, &row_key[..], row.encode());
        }
        let mut next = self.counts;
        next.records = next.records.saturating_sub(removed);
        self.commit(write, next)?;
        self.pass.grew(&row_key, -i64::try_from(removed).unwrap_or(i64::MAX));
        let is_done = matches!(deletion, Deletion::Record(..)) || row.records() == 0;
        Ok(Deleted::new(removed, if is_done { DeleteProgress::Done } else { DeleteProgress::More }))
    }

    /// Removes records of the surplus first, then those of the row.
    fn remove_some(
        &self,
        write: &mut OwnedWriteBatch,
        key: &ContentKey,
        row: &mut Row,
        limit: u64,
    ) -> Result<u64, Fault> {
        let mut removed = 0;
        if row.surplus > 0 {
            let mut surplus = self.rows.range(layout::surplus_range(key, 0, u32::MAX));
            while removed < limit {
                let Some(found) = surplus.next() else {
                    row.surplus = 0;
                    break;
                };
                write.remove(&self.rows, found.into_inner()?.0);
                row.surplus = row.surplus.saturating_sub(1);
                removed += 1;
            }
        }
        let going = (limit - removed).min(row.entries.len() as u64);
        if row.surplus == 0 {
            row.entries.truncate(row.entries.len() - going as usize);
            removed += going;
        }
        Ok(removed)
    }

    fn remove_one(
        &self,
        write: &mut OwnedWriteBatch,
        key: &ContentKey,
        row: &mut Row,
        number: u32,
    ) -> Result<u64, Fault> {
        if let Some(place) = row.entries.iter().position(|entry| entry.number == number) {
            row.entries.remove(place);
            return Ok(1);
        }
        let of_surplus = layout::surplus_key(key.as_bytes(), number);
        if row.surplus == 0 || self.rows.get(&of_surplus)?.is_none() {
            return Ok(0);
        }
        write.remove(&self.rows, &of_surplus[..]);
        row.surplus -= 1;
        Ok(1)
    }
}

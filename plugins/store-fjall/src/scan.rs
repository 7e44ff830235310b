//! All records, page by page, in the order of keys and, within a key, of provider numbers.
//!
//! A refresh moves a record between the row of its key and the surplus, but not to another provider number: whatever is
//! written between two pages, none is passed by.

use crate::fault::Fault;
use crate::layout::{self, Entry, RECORDS, Row, SURPLUS};
use crate::read::Reader;
use fjall::{Readable, Snapshot};
use hydra_api::{ContentKey, KeyProvider, Page, UnixSeconds};
use hydra_embedded::{DamagedRow, ScanPlace};
use std::ops::Bound;

/// Marks a cursor as one of this kind of store.
pub(crate) const TAG: u8 = b'f';

/// Rows that a page looks at, whatever its limit.
const ROWS_MAX: usize = 8192;

/// A page that is being filled, and the last place that was looked at.
struct Filling {
    records: Vec<(ContentKey, Entry)>,
    limit: usize,
    rows_left: usize,
    place: Option<ScanPlace>,
}

impl Filling {
    fn is_full(&self) -> bool {
        self.records.len() >= self.limit || self.rows_left == 0
    }
}

impl Reader {
    /// A page of the records after a place, as of one moment.
    pub(crate) fn page(
        &self,
        from: Option<ScanPlace>,
        now: UnixSeconds,
        limit: usize,
    ) -> Result<Page, Fault> {
        let snapshot = self.db.snapshot();
        let mut page = Filling { records: Vec::new(), limit, rows_left: ROWS_MAX, place: from };
        let ended = self.fill(&snapshot, &mut page, now)?;
        let mut records = Vec::with_capacity(page.records.len());
        for (key, Entry { number, expires }) in page.records {
            if let Some(known) = self.by_number.find(number, |row| Ok::<_, Fault>(self.rows.get(row)?))? {
                records.push(KeyProvider { key, provider: known.of_record(expires) });
            }
        }
        let next = page.place.filter(|_| !ended).and_then(|place| place.cursor(TAG));
        Ok(Page::new(records, next))
    }

    /// Whether the last record was seen.
    fn fill(&self, snapshot: &Snapshot, page: &mut Filling, now: UnixSeconds) -> Result<bool, Fault> {
        let from = match page.place {
            Some(place) => layout::record_key(place.key.as_bytes()).to_vec(),
            None => vec![RECORDS],
        };
        let rows = (Bound::Included(from), Bound::Excluded(vec![SURPLUS]));
        for row in snapshot.range::<Vec<u8>, _>(&self.rows, rows) {
            if page.is_full() {
                return Ok(false);
            }
            let (row_key, value) = row.into_inner()?;
            let key = ContentKey::new(&row_key[1..]).map_err(|_| DamagedRow("records"))?;
            page.rows_left -= 1;
            if !self.fill_of_key(snapshot, page, key, &Row::decode(&value)?, now)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds the living of a key after the place; whether all of them fitted.
    fn fill_of_key(
        &self,
        snapshot: &Snapshot,
        page: &mut Filling,
        key: ContentKey,
        row: &Row,
        now: UnixSeconds,
    ) -> Result<bool, Fault> {
        let done = page.place.filter(|place| place.key == key).map(|place| place.number);
        let Some(from) = done.map_or(Some(0), |done| done.checked_add(1)) else { return Ok(true) };
        let mut entries: Vec<_> = row.entries.iter().filter(|entry| entry.number >= from).copied().collect();
        // Beyond this number the surplus was not looked at.
        let mut seen_to = None;
        if row.surplus > 0 {
            let len_max = page.rows_left.min(page.limit - page.records.len());
            let mut rows = snapshot.range(&self.rows, layout::surplus_range(&key, from, u32::MAX));
            let mut last = from.checked_sub(1);
            for row in rows.by_ref().take(len_max) {
                let (row, value) = row.into_inner()?;
                let (_, number) = layout::split_surplus_key(&row)?;
                let expires = UnixSeconds(layout::decode_u32(&value, "the surplus")?);
                entries.push(Entry { number, expires });
                (last, page.rows_left) = (Some(number), page.rows_left - 1);
            }
            if rows.next().is_some() {
                let Some(last) = last else { return Ok(false) };
                seen_to = Some(last);
            }
        }
        entries.retain(|entry| seen_to.is_none_or(|seen_to| entry.number <= seen_to));
        entries.sort_unstable_by_key(|entry| entry.number);
        for entry in entries {
            if entry.expires > now {
                if page.records.len() == page.limit {
                    return Ok(false);
                }
                page.records.push((key, entry));
            }
            page.place = Some(ScanPlace { key, number: entry.number });
        }
        page.place = Some(ScanPlace { key, number: seen_to.unwrap_or(u32::MAX) });
        Ok(seen_to.is_none())
    }
}

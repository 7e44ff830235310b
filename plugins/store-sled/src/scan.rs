//! All records, page by page, in the order of their rows.

use crate::engine::Engine;
use crate::fault::Fault;
use crate::layout::{self, RECORDS};
use hydra_api::{ContentKey, KeyProvider, Page, UnixSeconds};
use hydra_embedded::{DamagedRow, ScanPlace};
use std::ops::Bound;

/// Marks a cursor as one of this kind of store.
pub(crate) const TAG: u8 = b's';

/// Rows that a page looks at, whatever its limit.
const ROWS_MAX: usize = 8192;

impl Engine {
    /// A page of the records after a place.
    pub(crate) fn page(
        &self,
        from: Option<ScanPlace>,
        now: UnixSeconds,
        limit: usize,
    ) -> Result<Page, Fault> {
        let first = match &from {
            Some(place) => Bound::Excluded(layout::record_key(&place.key, place.number).to_vec()),
            None => Bound::Included(vec![RECORDS]),
        };
        let end = Bound::Excluded(vec![RECORDS + 1]);
        let (mut records, mut last) = (Vec::new(), from);
        for (looked_at, row) in self.rows.range::<Vec<u8>, _>((first, end)).enumerate() {
            if looked_at == ROWS_MAX || records.len() == limit {
                let next = last.and_then(|place| place.cursor(TAG));
                return Ok(Page::new(records, next));
            }
            let (row, expires) = row?;
            let expires = UnixSeconds(layout::decode_u32(&expires, "records")?);
            let (key, number) = split(&row)?;
            last = Some(ScanPlace { key, number });
            if expires <= now {
                continue;
            }
            if let Some(provider) = self.provider(number)? {
                records.push(KeyProvider { key, provider: provider.of_record(expires) });
            }
        }
        Ok(Page::new(records, None))
    }
}

/// The key and the provider number of a row.
fn split(row: &[u8]) -> Result<(ContentKey, u32), DamagedRow> {
    let split = || {
        let (key, number) = row.get(2..)?.split_last_chunk::<4>()?;
        Some((ContentKey::new(key).ok()?, u32::from_be_bytes(*number)))
    };
    split().ok_or(DamagedRow("records"))
}

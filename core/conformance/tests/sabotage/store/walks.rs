//! Deletions and scans of a sabotaged store.

use super::sabotaged::{Sabotage::*, Sabotaged};
use hydra_api::{
    Addresses, Cursor, DeleteProgress, Deleted, Deletion, Page, ProviderStore, StoreError, StoreErrorKind,
    UnixSeconds, ValueKey, ValuePage, ValueRecord, ValueStore,
};
use hydra_store_memory::Memory;
use std::num::NonZeroU32;

/// Marks a cursor of [`by_number`].
const NUMBERED: &[u8] = b"number";

impl Sabotaged {
    pub(super) async fn deleted(
        &self,
        memory: &Memory,
        deletion: Deletion,
        limit: NonZeroU32,
    ) -> Result<Deleted, StoreError> {
        let limit = if self.is(S20MoreThanTheLimit) { limit.saturating_add(9) } else { limit };
        let asked = match (self.sabotage, deletion) {
            (S20RemovesTheKey, Deletion::Record(key, _)) => Deletion::Key(key),
            _ => deletion,
        };
        if self.is(S20RemovesNothing) {
            return Ok(Deleted::new(1, DeleteProgress::Done));
        }
        let mut deleted = memory.delete(asked, limit).await?;
        match self.sabotage {
            S20FailsTheAbsent if deleted.removed == 0 && self.has_inserted() => {
                return Err(StoreError::new(StoreErrorKind::Refused, "delete"));
            }
            S20NeverDone if self.has_inserted() => deleted.progress = DeleteProgress::More,
            S20DoneTooSoon => deleted.progress = DeleteProgress::Done,
            _ => {}
        }
        Ok(deleted)
    }

    pub(super) async fn scanned(
        &self,
        memory: &Memory,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<Page, StoreError> {
        if self.is(S21ByNumber) {
            return by_number(memory, from, now, limit).await;
        }
        let is_foreign = from.as_ref().is_some_and(|cursor| cursor.as_bytes()[0] != b'm');
        match self.sabotage {
            S22TakesAnyCursor if is_foreign => return memory.scan(None, now, limit).await,
            S22ForgetsItsCursors if from.is_some() && self.process > 1 => {
                return Ok(Page::new(Vec::new(), None));
            }
            _ => {}
        }
        let asked_at = if self.is(S21ReturnsTheExpired) { UnixSeconds(now.0 - 1) } else { now };
        let limit = if self.is(S21MoreThanTheLimit) { limit.saturating_add(1) } else { limit };
        let mut page = memory.scan(from, asked_at, limit).await?;
        match self.sabotage {
            S21LeavesOutTheLast if page.next.is_some() => drop(page.records.pop()),
            S21ForgetsAddresses => {
                page.records.iter_mut().for_each(|record| record.provider.addresses = Addresses::none());
            }
            _ => {}
        }
        Ok(page)
    }

    pub(super) async fn scanned_values(
        &self,
        memory: &dyn ValueStore,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<ValuePage, StoreError> {
        if self.is(R15ByNumber) || self.is(R15ByExpiry) {
            return self.values_in_an_order(memory, from, now, limit).await;
        }
        let is_foreign = from.as_ref().is_some_and(|cursor| cursor.as_bytes()[0] != b'm');
        match self.sabotage {
            R16TakesAnyCursor if is_foreign => return memory.scan_values(None, now, limit).await,
            R16ForgetsItsCursors if from.is_some() && self.process > 1 => {
                return Ok(ValuePage::new(Vec::new(), None));
            }
            _ => {}
        }
        let asked_at = if self.is(R15ReturnsTheExpired) { UnixSeconds(now.0 - 1) } else { now };
        let limit = if self.is(R15MoreThanTheLimit) { limit.saturating_add(1) } else { limit };
        let mut page = memory.scan_values(from, asked_at, limit).await?;
        match self.sabotage {
            R15LeavesOutTheLast if page.next.is_some() => drop(page.records.pop()),
            R15ForgetsWhenItCame => {
                page.records.iter_mut().for_each(|(_, record)| record.received = UnixSeconds(0));
            }
            _ => {}
        }
        Ok(page)
    }

    /// Pages of the value records by their number in the order of keys, or by their expiry: what goes moves those after it, and what is
    /// replaced moves itself.
    async fn values_in_an_order(
        &self,
        memory: &dyn ValueStore,
        from: Option<Cursor>,
        now: UnixSeconds,
        limit: NonZeroU32,
    ) -> Result<ValuePage, StoreError> {
        let (mut all, mut next) = (Vec::new(), None);
        loop {
            let page = memory.scan_values(next, now, NonZeroU32::MAX).await?;
            all.extend(page.records);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        // What tells where a record is in the order.
        let by_number = self.is(R15ByNumber);
        all.sort_by_key(|(key, record)| (if by_number { 0 } else { record.expires.0 }, *key));
        let place = |number: usize, key: &ValueKey, record: &ValueRecord| match by_number {
            true => (number as u64).to_be_bytes().to_vec(),
            false => [&record.expires.0.to_be_bytes()[..], key.as_bytes()].concat(),
        };
        let done = match &from {
            None => Vec::new(),
            Some(cursor) => {
                let place = cursor.as_bytes().strip_prefix(NUMBERED);
                place.ok_or_else(|| StoreError::foreign_cursor("scan_values"))?.to_vec()
            }
        };
        let all: Vec<_> = all
            .into_iter()
            .enumerate()
            .map(|(at, (key, record))| (place(at, &key, &record), key, record))
            .collect();
        let left: Vec<_> = all.into_iter().filter(|(place, ..)| *place > done).collect();
        let is_last = left.len() <= limit.get() as usize;
        let page: Vec<_> = left.into_iter().take(limit.get() as usize).collect();
        let next = page
            .last()
            .filter(|_| !is_last)
            .and_then(|(place, ..)| Cursor::new([NUMBERED, place].concat()).ok());
        Ok(ValuePage::new(page.into_iter().map(|(_, key, record)| (key, record)).collect(), next))
    }
}

/// Pages of the records by their number in order: what goes moves those after it.
async fn by_number(
    memory: &Memory,
    from: Option<Cursor>,
    now: UnixSeconds,
    limit: NonZeroU32,
) -> Result<Page, StoreError> {
    let done = match &from {
        None => 0,
        Some(cursor) => {
            let number = cursor.as_bytes().strip_prefix(NUMBERED).and_then(|number| number.try_into().ok());
            usize::from_be_bytes(number.ok_or_else(|| StoreError::foreign_cursor("scan"))?)
        }
    };
    let mut all = memory.scan(None, now, NonZeroU32::MAX).await?.records;
    all.sort_by_key(|record| (record.key, record.provider.peer));
    let next = done + limit.get() as usize;
    let is_last = next >= all.len();
    let records = all.into_iter().skip(done).take(limit.get() as usize).collect();
    let bytes = [NUMBERED, &next.to_be_bytes()].concat();
    Ok(Page::new(records, Cursor::new(bytes).ok().filter(|_| !is_last)))
}

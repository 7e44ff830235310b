//! What a sabotaged store remembers beside the records, to tell lies with.

use crate::shared_memory::locked;
use hydra_api::{Addresses, ContentKey, PeerId, ProviderRecord, UnixSeconds};
use std::collections::HashMap;
use std::sync::Mutex;

/// Notes on the inserts of a process, by key and provider.
#[derive(Debug, Default)]
pub(crate) struct Overlay(Mutex<HashMap<(ContentKey, PeerId), Note>>);

/// What was told of a record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Note {
    /// How many inserts there were.
    pub(crate) inserts: u32,
    /// How many of the last inserts had the same expiry.
    pub(crate) same: u32,
    /// The expiry of the last insert.
    pub(crate) last: UnixSeconds,
    /// How many records the last insert had.
    pub(crate) batch_len: usize,
    /// The last addresses that came with this record.
    pub(crate) addresses: Addresses,
    /// When they came first.
    pub(crate) addresses_first: UnixSeconds,
}

impl Overlay {
    pub(crate) fn record(&self, batch: &[ProviderRecord], now: UnixSeconds) {
        let mut notes = locked(&self.0);
        for record in batch {
            let note = notes.entry((record.key, record.provider)).or_default();
            note.same = if note.last == record.expires { note.same + 1 } else { 1 };
            note.inserts += 1;
            note.last = record.expires;
            note.batch_len = batch.len();
            if !record.addresses.is_empty() && note.addresses != record.addresses {
                note.addresses = record.addresses.clone();
                note.addresses_first = now;
            }
        }
    }

    pub(crate) fn of(&self, key: ContentKey, provider: PeerId) -> Note {
        locked(&self.0).get(&(key, provider)).cloned().unwrap_or_default()
    }
}

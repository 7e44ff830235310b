//! All records, page by page: one shard after another, each in the order of its keys.

use crate::shard::Shard;
use hydra_api::{ContentKey, Cursor, UnixSeconds};

/// Marks a cursor as one of this kind of store.
const TAG: u8 = b'm';

/// Where a scan goes on: after the record of a key and a provider number, of a shard of one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The store: a cursor means nothing to another.
    pub(crate) store: u64,
    pub(crate) shard: u8,
    /// The last record that was returned, or the last number of a key that is done; none at the beginning of a shard.
    pub(crate) after: Option<(ContentKey, u32)>,
}

/// Entries of one shard that go to a page.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// Keys, provider numbers and expiries.
    pub(crate) entries: Vec<(ContentKey, u32, UnixSeconds)>,
    /// The last record that was looked at; none when the shard is done.
    pub(crate) after: Option<(ContentKey, u32)>,
}

impl Place {
    pub(crate) fn encode(&self) -> Option<Cursor> {
        let mut bytes = vec![TAG];
        bytes.extend_from_slice(&self.store.to_be_bytes());
        bytes.push(self.shard);
        if let Some((key, number)) = &self.after {
            bytes.extend_from_slice(&number.to_be_bytes());
            bytes.extend_from_slice(key.as_bytes());
        }
        Cursor::new(bytes).ok()
    }

    /// The place of a cursor; none if it is not one of this store.
    pub(crate) fn decode(cursor: &Cursor, store: u64) -> Option<Self> {
        let (tag, rest) = cursor.as_bytes().split_first()?;
        let (of, rest) = rest.split_first_chunk::<8>()?;
        let (shard, rest) = rest.split_first()?;
        if *tag != TAG || u64::from_be_bytes(*of) != store {
            return None;
        }
        let after = match rest.split_first_chunk::<4>() {
            Some((number, key)) => Some((ContentKey::new(key).ok()?, u32::from_be_bytes(*number))),
            None if rest.is_empty() => None,
            None => return None,
        };
        Some(Self { store, shard: *shard, after })
    }
}

impl Shard {
    /// Up to `limit` living entries after a record, in order.
    pub(crate) fn part(&self, after: Option<&(ContentKey, u32)>, now: UnixSeconds, limit: usize) -> Part {
        let from = after.map_or(&[][..], |(key, _)| key.as_bytes());
        // The key of the last record may be done.
        let (keys, is_all) = self.keys_from(from, limit.saturating_add(1));
        let mut part = Part::default();
        for (key, entries) in keys {
            let Ok(key) = ContentKey::new(key) else { continue };
            let done = after.filter(|(of, _)| *of == key).map(|(_, number)| *number);
            let left = entries.iter().filter(|entry| done.is_none_or(|done| entry.provider > done));
            for entry in left.filter(|entry| entry.expires > now) {
                if part.entries.len() == limit {
                    part.after = part.entries.last().map(|(key, number, _)| (*key, *number));
                    return part;
                }
                part.entries.push((key, entry.provider, entry.expires));
            }
            part.after = Some((key, u32::MAX));
        }
        if is_all {
            part.after = None;
        }
        part
    }
}

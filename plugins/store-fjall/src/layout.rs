//! Keys and values of the one keyspace, byte by byte, beside those of [`hydra_embedded::rows`] and [`hydra_embedded::values`].
//!
//! | key | value |
//! |---|---|
//! | `r` ‖ key | rows of the surplus u32, then (provider number u32, expiry u32) up to 16 times, latest expiry first |
//! | `s` ‖ length of the key u8 ‖ key ‖ provider number | expiry u32 |
//!
//! Numbers in keys are big-endian, so that they are in order; in values they are little-endian.

pub(crate) use hydra_embedded::rows::{
    Counts, META, PROVIDERS, ProviderUpdate, RECORDS, RowKey, StoredProvider, decode_u32, number_key,
    number_of, provider_key,
};

use hydra_api::{ContentKey, UnixSeconds};
use hydra_embedded::DamagedRow;
use hydra_embedded::rows::joined;
use smallvec::SmallVec;

/// The layout that this code reads and writes.
pub(crate) const VERSION: u8 = 1;

/// Providers that stand in the row of their key; all others are surplus, with a row each.
pub(crate) const INLINE_MAX: usize = 16;

/// The first byte of the key of a row of the surplus.
pub(crate) const SURPLUS: u8 = b's';

pub(crate) fn record_key(key: &[u8]) -> RowKey {
    joined(RECORDS, &[key])
}

/// The length keeps a key's surplus apart from that of a key which begins with it.
pub(crate) fn surplus_key(key: &[u8], number: u32) -> RowKey {
    joined(SURPLUS, &[&[key.len() as u8], key, &number.to_be_bytes()])
}

/// The key and the provider number of a row of the surplus.
pub(crate) fn split_surplus_key(row: &[u8]) -> Result<(&[u8], u32), DamagedRow> {
    let split = || {
        let (key, number) = row.get(2..)?.split_last_chunk::<4>()?;
        (key.len() == usize::from(row[1])).then(|| (key, u32::from_be_bytes(*number)))
    };
    split().ok_or(DamagedRow("the surplus"))
}

/// A provider of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) number: u32,
    pub(crate) expires: UnixSeconds,
}

/// The row of a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Row {
    /// How many rows of the surplus the key has.
    pub(crate) surplus: u32,
    /// Latest expiry first.
    pub(crate) entries: SmallVec<[Entry; INLINE_MAX]>,
}

impl Row {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(4 + 8 * self.entries.len());
        value.extend_from_slice(&self.surplus.to_le_bytes());
        for entry in &self.entries {
            value.extend_from_slice(&entry.number.to_le_bytes());
            value.extend_from_slice(&entry.expires.0.to_le_bytes());
        }
        value
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, DamagedRow> {
        const DAMAGED: DamagedRow = DamagedRow("records");
        let (surplus, rest) = value.split_first_chunk::<4>().ok_or(DAMAGED)?;
        let (entries, rest) = rest.as_chunks::<8>();
        if !rest.is_empty() || entries.len() > INLINE_MAX {
            return Err(DAMAGED);
        }
        let entry = |[a, b, c, d, e, f, g, h]: &[u8; 8]| Entry {
            number: u32::from_le_bytes([*a, *b, *c, *d]),
            expires: UnixSeconds(u32::from_le_bytes([*e, *f, *g, *h])),
        };
        Ok(Self { surplus: u32::from_le_bytes(*surplus), entries: entries.iter().map(entry).collect() })
    }

    /// Records of the key, in the row and in the surplus.
    pub(crate) fn records(&self) -> u64 {
        self.entries.len() as u64 + u64::from(self.surplus)
    }

    /// How many entries live on; as they are in order, it is the first ones.
    pub(crate) fn living(&self, now: UnixSeconds) -> usize {
        self.entries.partition_point(|entry| entry.expires > now)
    }

    /// Lowers later expiries to this; true if there were any. The order stays.
    pub(crate) fn expire_by(&mut self, latest: UnixSeconds) -> bool {
        let later = self.entries.partition_point(|entry| entry.expires > latest);
        self.entries.iter_mut().take(later).for_each(|entry| entry.expires = latest);
        later > 0
    }

    /// Puts an entry in its place. There must be room.
    pub(crate) fn place(&mut self, entry: Entry) {
        let place = self.entries.partition_point(|other| other.expires >= entry.expires);
        self.entries.insert(place, entry);
    }

    /// Whether nothing of the key is left after `now`.
    pub(crate) fn is_over(&self, now: UnixSeconds) -> bool {
        self.surplus == 0 && self.living(now) == 0
    }
}

/// All rows of the surplus of a key, from a provider number on.
pub(crate) fn surplus_range(key: &ContentKey, from: u32, to: u32) -> std::ops::RangeInclusive<RowKey> {
    surplus_key(key.as_bytes(), from)..=surplus_key(key.as_bytes(), to)
}

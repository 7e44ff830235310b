//! The rows that the layouts of all embedded stores have, byte by byte.
//!
//! | key | value |
//! |---|---|
//! | `m` | version of the layout u8, records u64, next provider number u32 |
//! | `n` ‖ peer id | provider number u32 |
//! | `p` ‖ provider number | addresses announced at u32, no record after u32, length of the peer id u8, peer id, addresses |
//!
//! Numbers in keys are big-endian, so that they are in order; in values they are little-endian.

mod provider;

pub use provider::{ProviderUpdate, StoredProvider};

use crate::fault::{DamagedRow, Fault};
use hydra_api::PeerId;
use smallvec::SmallVec;

/// The key of the counts.
pub const META: &[u8] = b"m";
/// The first byte of the key of a provider's number.
pub const NUMBERS: u8 = b'n';
/// The first byte of the key of a provider.
pub const PROVIDERS: u8 = b'p';
/// The first byte of the key of a record, or of the records of a key.
pub const RECORDS: u8 = b'r';

/// The key of a row, on the stack.
pub type RowKey = SmallVec<[u8; 96]>;

/// The key of a row of this kind.
pub fn joined(kind: u8, parts: &[&[u8]]) -> RowKey {
    let mut key = RowKey::new();
    key.push(kind);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// The key of the number of a provider.
pub fn number_key(peer: &PeerId) -> RowKey {
    joined(NUMBERS, &[peer.as_bytes()])
}

/// The key of a provider.
pub fn provider_key(number: u32) -> RowKey {
    joined(PROVIDERS, &[&number.to_be_bytes()])
}

/// The provider number at the end of the key of a row of `rows`.
///
/// # Errors
/// [`DamagedRow`] when the key is too short.
pub fn number_of(key: &[u8], rows: &'static str) -> Result<u32, DamagedRow> {
    let number = key.split_last_chunk::<4>().map(|(_, number)| u32::from_be_bytes(*number));
    number.ok_or(DamagedRow(rows))
}

/// A `u32` that is the whole value of a row of `rows`.
///
/// # Errors
/// [`DamagedRow`] when it is not.
pub fn decode_u32(value: &[u8], rows: &'static str) -> Result<u32, DamagedRow> {
    value.try_into().map(u32::from_le_bytes).map_err(|_| DamagedRow(rows))
}

/// The counts of a store, part of every write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Records, expired ones included.
    pub records: u64,
    /// The number of the next new provider.
    pub next_provider: u32,
}

impl Counts {
    /// The value of the row, in this version of the layout.
    pub fn encode(self, version: u8) -> Vec<u8> {
        [&[version][..], &self.records.to_le_bytes(), &self.next_provider.to_le_bytes()].concat()
    }

    /// Reads the value of the row.
    ///
    /// # Errors
    /// [`Fault::Layout`] when the rows have another version of the layout, [`Fault::Row`] when the row is damaged.
    pub fn decode(value: &[u8], version: u8) -> Result<Self, Fault> {
        const DAMAGED: DamagedRow = DamagedRow("counts");
        let (&found, rest) = value.split_first().ok_or(DAMAGED)?;
        if found != version {
            return Err(Fault::Layout { found, known: version });
        }
        let (records, rest) = rest.split_first_chunk::<8>().ok_or(DAMAGED)?;
        let next_provider = decode_u32(rest, "counts")?;
        Ok(Self { records: u64::from_le_bytes(*records), next_provider })
    }

    /// Takes the number of a new provider; `None` when all are in use.
    pub fn take_number(&mut self) -> Option<u32> {
        let number = self.next_provider;
        self.next_provider = number.checked_add(1)?;
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_back_and_other_layouts_are_no_damage() {
        let counts = Counts { records: 1 << 40, next_provider: 7 };
        let value = counts.encode(1);
        assert_eq!(Counts::decode(&value, 1).unwrap(), counts);
        let other = Counts::decode(&value, 2).unwrap_err();
        assert!(matches!(other, Fault::Layout { found: 1, known: 2 }) && !other.is_damage());
        assert!(Counts::decode(&value[..9], 1).unwrap_err().is_damage());
        let mut full = Counts { next_provider: u32::MAX, ..counts };
        assert_eq!((full.take_number(), full), (None, Counts { next_provider: u32::MAX, ..counts }));
    }
}

//! Keys and values of the one tree, byte by byte.
//!
//! | key | value |
//! |---|---|
//! | `m` | version of the layout u8, records u64, next provider number u32 |
//! | `n` ‖ peer id | provider number u32 |
//! | `p` ‖ provider number | addresses told at u32, no record after u32, length of the peer id u8, peer id, addresses |
//! | `r` ‖ length of the key u8 ‖ key ‖ provider number | expiry u32 |
//!
//! Numbers in keys are big-endian, so that they are in order; in values they are little-endian.

use crate::fault::Fault;
use bytes::Bytes;
use hydra_api::{Addresses, ContentKey, PeerId, UnixSeconds};
use smallvec::SmallVec;

/// The layout that this code reads and writes.
pub(crate) const VERSION: u8 = 1;

pub(crate) const META: &[u8] = b"m";
pub(crate) const PROVIDERS: u8 = b'p';
pub(crate) const RECORDS: u8 = b'r';
const NUMBERS: u8 = b'n';

/// A key of the tree, on the stack.
pub(crate) type RowKey = SmallVec<[u8; 96]>;

pub(crate) fn number_key(peer: &PeerId) -> RowKey {
    joined(NUMBERS, &[peer.as_bytes()])
}

pub(crate) fn provider_key(number: u32) -> RowKey {
    joined(PROVIDERS, &[&number.to_be_bytes()])
}

/// The length keeps the rows of a key apart from those of a key that begins with it.
pub(crate) fn record_key(key: &ContentKey, number: u32) -> RowKey {
    let key = key.as_bytes();
    joined(RECORDS, &[&[key.len() as u8], key, &number.to_be_bytes()])
}

/// The provider number at the end of a record's key.
pub(crate) fn number_of(row: &[u8]) -> Result<u32, Fault> {
    let number = row.split_last_chunk::<4>().map(|(_, number)| u32::from_be_bytes(*number));
    number.ok_or(Fault::Row("records"))
}

fn joined(kind: u8, parts: &[&[u8]]) -> RowKey {
    let mut key = RowKey::new();
    key.push(kind);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// A `u32` that is all of a value.
pub(crate) fn decode_u32(value: &[u8], rows: &'static str) -> Result<u32, Fault> {
    value.try_into().map(u32::from_le_bytes).map_err(|_| Fault::Row(rows))
}

/// The counts of the store, part of every write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    pub(crate) next_provider: u32,
}

impl Counts {
    pub(crate) fn encode(self) -> Vec<u8> {
        [&[VERSION][..], &self.records.to_le_bytes(), &self.next_provider.to_le_bytes()].concat()
    }

    /// The counts, or the version of another layout.
    pub(crate) fn decode(value: &[u8]) -> Result<Result<Self, u8>, Fault> {
        let (&version, rest) = value.split_first().ok_or(Fault::Row("counts"))?;
        if version != VERSION {
            return Ok(Err(version));
        }
        let (records, rest) = rest.split_first_chunk::<8>().ok_or(Fault::Row("counts"))?;
        let next_provider = decode_u32(rest, "counts")?;
        Ok(Ok(Self { records: u64::from_le_bytes(*records), next_provider }))
    }
}

/// What is known of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) number: u32,
    pub(crate) peer: PeerId,
    pub(crate) addresses: Addresses,
    pub(crate) addresses_at: UnixSeconds,
    /// None of its records expires after this.
    pub(crate) until: UnixSeconds,
}

impl Known {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let peer = self.peer.as_bytes();
        let (told, until) = (self.addresses_at.0.to_le_bytes(), self.until.0.to_le_bytes());
        [&told[..], &until, &[peer.len() as u8], peer, self.addresses.encoded()].concat()
    }

    pub(crate) fn decode(number: u32, value: &[u8]) -> Result<Self, Fault> {
        let decoded = || {
            let (addresses_at, rest) = value.split_first_chunk::<4>()?;
            let (until, rest) = rest.split_first_chunk::<4>()?;
            let (&len, rest) = rest.split_first()?;
            let (peer, addresses) = rest.split_at_checked(usize::from(len))?;
            Some(Self {
                number,
                peer: PeerId::new(peer).ok()?,
                addresses: Addresses::from_encoded(Bytes::copy_from_slice(addresses)).ok()?,
                addresses_at: UnixSeconds(u32::from_le_bytes(*addresses_at)),
                until: UnixSeconds(u32::from_le_bytes(*until)),
            })
        };
        decoded().ok_or(Fault::Row("providers"))
    }
}

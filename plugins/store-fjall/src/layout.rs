//! Keys and values of the one keyspace, byte by byte.
//!
//! | key | value |
//! |---|---|
//! | `m` | version of the layout u8, records u64, next provider number u32 |
//! | `n` ‖ peer id | provider number |
//! | `p` ‖ provider number | addresses told at u32, no record after u32, length of the peer id u8, peer id, addresses |
//! | `r` ‖ key | rows of the surplus u32, then (provider number u32, expiry u32) up to 16 times, latest expiry first |
//! | `s` ‖ length of the key u8 ‖ key ‖ provider number | expiry u32 |
//!
//! Numbers in keys are big-endian, so that they are in order; in values they are little-endian.

use crate::fault::Fault;
use bytes::Bytes;
use hydra_api::{Addresses, ContentKey, PeerId, UnixSeconds};
use smallvec::SmallVec;

/// The layout that this code reads and writes.
pub(crate) const VERSION: u8 = 1;

/// Providers that stand in the row of their key; all others are surplus, with a row each.
pub(crate) const INLINE_MAX: usize = 16;

pub(crate) const META: &[u8] = b"m";
pub(crate) const NUMBERS: u8 = b'n';
pub(crate) const PROVIDERS: u8 = b'p';
pub(crate) const RECORDS: u8 = b'r';
pub(crate) const SURPLUS: u8 = b's';

/// A key of the keyspace, on the stack as long as there may be.
pub(crate) type RowKey = SmallVec<[u8; 96]>;

pub(crate) fn number_key(peer: &PeerId) -> RowKey {
    joined(NUMBERS, &[peer.as_bytes()])
}

pub(crate) fn provider_key(number: u32) -> RowKey {
    joined(PROVIDERS, &[&number.to_be_bytes()])
}

pub(crate) fn record_key(key: &[u8]) -> RowKey {
    joined(RECORDS, &[key])
}

/// The length keeps a key's surplus apart from that of a key which begins with it.
pub(crate) fn surplus_key(key: &[u8], number: u32) -> RowKey {
    joined(SURPLUS, &[&[key.len() as u8], key, &number.to_be_bytes()])
}

/// The key and the provider number of a row of the surplus.
pub(crate) fn split_surplus_key(row: &[u8]) -> Result<(&[u8], u32), Fault> {
    let split = || {
        let (key, number) = row.get(2..)?.split_last_chunk::<4>()?;
        (key.len() == usize::from(row[1])).then(|| (key, u32::from_be_bytes(*number)))
    };
    split().ok_or(Fault::Row("the surplus"))
}

fn joined(kind: u8, parts: &[&[u8]]) -> RowKey {
    let mut key = RowKey::new();
    key.push(kind);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// The counts of the store, kept by every write.
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
        let decoded = rest.split_first_chunk::<8>().and_then(|(records, rest)| {
            let next_provider = u32::from_le_bytes(rest.try_into().ok()?);
            Some(Self { records: u64::from_le_bytes(*records), next_provider })
        });
        decoded.map(Ok).ok_or(Fault::Row("counts"))
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
        [
            &self.addresses_at.0.to_le_bytes()[..],
            &self.until.0.to_le_bytes(),
            &[peer.len() as u8],
            peer,
            self.addresses.encoded(),
        ]
        .concat()
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

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        const DAMAGED: Fault = Fault::Row("records");
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

pub(crate) fn decode_number(value: &[u8]) -> Result<u32, Fault> {
    value.try_into().map(u32::from_le_bytes).map_err(|_| Fault::Row("provider numbers"))
}

pub(crate) fn decode_expiry(value: &[u8]) -> Result<UnixSeconds, Fault> {
    let seconds = value.try_into().map(u32::from_le_bytes);
    seconds.map(UnixSeconds).map_err(|_| Fault::Row("the surplus"))
}

/// All rows of the surplus of a key, from a provider number on.
pub(crate) fn surplus_range(key: &ContentKey, from: u32, to: u32) -> std::ops::RangeInclusive<RowKey> {
    surplus_key(key.as_bytes(), from)..=surplus_key(key.as_bytes(), to)
}

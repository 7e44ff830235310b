//! An entry that is parsed, a record that is verified, and which of two is better.

use crate::document::Document;
use crate::envelope::Envelope;
use crate::{Error, Namespace, PUBLIC_KEY_BYTES_MAX, RecordKey, Timestamp, public_key};
use bytes::Bytes;
use std::cmp::Ordering;

/// What precedes the data in the signed bytes.
const SIGNATURE_PREFIX: &[u8] = b"ipns-signature:";

/// A value record whose bounds and fields are checked. Its public key and signature are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    key: RecordKey,
    bytes: Bytes,
    ipns: Option<Parsed>,
}

/// The parts of an IPNS entry; they share the memory of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parsed {
    fields: Ipns,
    public_key: Option<Bytes>,
    signature: Bytes,
    data: Bytes,
}

/// The fields of an IPNS record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ipns {
    /// Where the name points: a content path by custom, which is not checked.
    pub value: Bytes,
    /// The version: the highest one wins.
    pub sequence: u64,
    /// When the record ends to be valid.
    pub eol: Timestamp,
    /// How long it may be cached, in nanoseconds, if it says so.
    pub ttl: Option<u64>,
}

/// How a new entry compares with the one that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// It has the same bytes: accepted, and there is nothing to verify or to write.
    Same,
    /// It replaces the held one if it verifies.
    Better,
    /// It is refused, whether it verifies or not.
    Worse,
}

impl Entry {
    /// Checks the bounds of a record and parses it.
    ///
    /// Costs one pass over the bytes, at most 10 KiB with at most 64 fields and 64 items of data, without cryptography: from a quarter
    /// of a microsecond to a few. Allocates nothing that grows with them.
    ///
    /// # Errors
    /// The first rule that the record breaks, in the order of the specification's *Record Verification*, but for the public key, the
    /// signature and the time, which [`Self::verify`] checks.
    pub fn parse(key: &RecordKey, bytes: impl Into<Bytes>) -> Result<Self, Error> {
        let bytes = bytes.into();
        let ipns = match key.namespace() {
            Namespace::PublicKey if bytes.len() > PUBLIC_KEY_BYTES_MAX => {
                return Err(Error::Size { len: bytes.len() });
            }
            Namespace::PublicKey => None,
            Namespace::Ipns => Some(Parsed::parse(&bytes)?),
        };
        Ok(Self { key: *key, bytes, ipns })
    }

    /// The key it was parsed with.
    pub fn key(&self) -> &RecordKey {
        &self.key
    }

    /// The bytes as they came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The fields, unless it is a public key.
    pub fn ipns(&self) -> Option<&Ipns> {
        self.ipns.as_ref().map(|parsed| &parsed.fields)
    }

    /// Whether its end of life is over. A public key never expires. Costs a comparison.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.ipns.as_ref().is_some_and(|parsed| parsed.fields.eol < now)
    }

    /// Compares it with the entry that is held under the same key, which was verified when it was stored. Costs a comparison of the
    /// bytes, no cryptography.
    ///
    /// - Equal bytes are [`Comparison::Same`], expired or not.
    /// - A held record that has expired is replaced by any valid one, as in go-libp2p-kad-dht.
    /// - Of IPNS records the [better](Self::preference) one wins (U6).
    /// - A valid public key has one form alone, so that other bytes than those held are not valid.
    pub fn compared_with(&self, held: &Self, now: Timestamp) -> Comparison {
        if self.bytes == held.bytes {
            return Comparison::Same;
        }
        let better = match self.key.namespace() {
            Namespace::PublicKey => false,
            Namespace::Ipns => held.is_expired(now) || self.preference(held).is_gt(),
        };
        if better { Comparison::Better } else { Comparison::Worse }
    }

    /// Which of two entries of one key is better, the greater one: higher sequence, then later end of life, then larger bytes (boxo's
    /// `ipns.Validator.Select`). A total order, equal for equal bytes alone.
    pub fn preference(&self, other: &Self) -> Ordering {
        let rank = |entry: &Self| entry.ipns().map(|fields| (fields.sequence, fields.eol));
        rank(self).cmp(&rank(other)).then_with(|| self.bytes.cmp(&other.bytes))
    }

    /// Verifies the record: end of life, public key, signature.
    ///
    /// Costs the decoding of a public key, 1 to 8 µs, and for IPNS one signature: 28 µs for RSA with 2,048 bits, 40 µs for Ed25519,
    /// 84 µs for secp256k1, 110 µs for RSA with 4,096 bits, 300 µs for ECDSA (`benches/records.rs`).
    ///
    /// # Errors
    /// The rule that the record breaks; the cheaper ones are checked first.
    pub fn verify(self, now: Timestamp) -> Result<Record, Error> {
        match &self.ipns {
            None => self.verify_public_key()?,
            Some(parsed) if parsed.fields.eol < now => return Err(Error::Expired),
            Some(parsed) => parsed.verify(&self.key)?,
        }
        Ok(Record(self))
    }

    /// The key must be in the one form that hashes to its peer id (js-libp2p compares the hash of the bytes, go-libp2p that of the
    /// key).
    fn verify_public_key(&self) -> Result<(), Error> {
        let key = public_key::decode(&self.bytes, self.key.peer())?;
        if key.encode_protobuf() == self.bytes { Ok(()) } else { Err(Error::PublicKey) }
    }
}

impl Parsed {
    fn parse(bytes: &Bytes) -> Result<Self, Error> {
        let envelope = Envelope::parse(bytes)?;
        let document = Document::parse(envelope.data)?;
        document.agrees_with(&envelope)?;
        let Document { value, sequence, eol, ttl, .. } = document;
        Ok(Self {
            fields: Ipns { value: bytes.slice_ref(value), sequence, eol, ttl },
            public_key: envelope.public_key.filter(|key| !key.is_empty()).map(|key| bytes.slice_ref(key)),
            signature: bytes.slice_ref(envelope.signature_v2),
            data: bytes.slice_ref(envelope.data),
        })
    }

    fn verify(&self, key: &RecordKey) -> Result<(), Error> {
        let public_key = self.public_key.as_deref().or(key.inlined()).ok_or(Error::NoPublicKey)?;
        let public_key = public_key::decode(public_key, key.peer())?;
        let signed = [SIGNATURE_PREFIX, &self.data].concat();
        if public_key.verify(&signed, &self.signature) { Ok(()) } else { Err(Error::Signature) }
    }
}

/// A record that was verified: what a node stores and serves. Its bytes are those that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record(Entry);

impl Record {
    /// The entry, to compare others with.
    pub fn entry(&self) -> &Entry {
        &self.0
    }

    /// The key.
    pub fn key(&self) -> &RecordKey {
        &self.0.key
    }

    /// The bytes as they came.
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// The bytes as they came.
    pub fn into_bytes(self) -> Bytes {
        self.0.bytes
    }

    /// The fields, unless it is a public key.
    pub fn ipns(&self) -> Option<&Ipns> {
        self.0.ipns()
    }
}

/// The best of several entries of one key, the first one of equal ones (U6). Public keys are all as good: the first one wins, as in
/// go-libp2p-record.
pub fn select<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Option<&'a Entry> {
    entries.into_iter().reduce(|best, next| {
        let replaces = next.ipns.is_some() && next.preference(best).is_gt();
        if replaces { next } else { best }
    })
}

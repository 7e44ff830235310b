//! Makes IPNS records.

use crate::{Namespace, RecordKey};
use bytes::Bytes;
use libp2p_identity::{Keypair, SigningError};
use prost::encoding::encode_varint;

/// An IPNS record that is not signed yet. Nothing of it is checked: whoever takes the record does that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draft<'a> {
    /// Where the name points.
    pub value: &'a str,
    /// The version.
    pub sequence: u64,
    /// When the record ends to be valid, as RFC 3339 writes it.
    pub eol: &'a str,
    /// How long it may be cached, in nanoseconds.
    pub ttl: u64,
}

impl Draft<'_> {
    /// The record, signed by the owner of the name: with V2 fields alone, and with the public key unless the name contains it
    /// (specification, *Record Creation*).
    ///
    /// # Errors
    /// [`SigningError`] of the key, which an Ed25519 key does not have.
    pub fn sign(&self, owner: &Keypair) -> Result<Bytes, SigningError> {
        let data = self.data();
        let signature = owner.sign(&[b"ipns-signature:", data.as_slice()].concat())?;
        let public = owner.public();
        let name = RecordKey::new(Namespace::Ipns, public.to_peer_id());
        let public = name.inlined().is_none().then(|| public.encode_protobuf());
        let mut record = Vec::new();
        for (tag, field) in public.iter().map(|key| (7, key)).chain([(8, &signature), (9, &data)]) {
            record.push(tag << 3 | 2);
            encode_varint(field.len() as u64, &mut record);
            record.extend_from_slice(field);
        }
        Ok(record.into())
    }

    /// The fields as a map of DAG-CBOR, shorter keys first.
    fn data(&self) -> Vec<u8> {
        const FIELDS: u64 = 5;
        let mut out = Vec::new();
        head(MAP, FIELDS, &mut out);
        text("TTL", &mut out);
        head(UNSIGNED, self.ttl, &mut out);
        text("Value", &mut out);
        bytes(self.value.as_bytes(), &mut out);
        text("Sequence", &mut out);
        head(UNSIGNED, self.sequence, &mut out);
        text("Validity", &mut out);
        bytes(self.eol.as_bytes(), &mut out);
        text("ValidityType", &mut out);
        head(UNSIGNED, 0, &mut out);
        out
    }
}

// Major types of CBOR (RFC 8949, section 3.1).
const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const MAP: u8 = 5;

/// The head of an item, in its shortest form.
fn head(major: u8, number: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    match number {
        0..24 => out.push(major | number as u8),
        24..0x100 => out.extend_from_slice(&[major | 24, number as u8]),
        0x100..0x1_0000 => {
            out.push(major | 25);
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 26);
            out.extend_from_slice(&(number as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    head(TEXT, text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    head(BYTES, bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, Timestamp};

    #[test]
    fn a_signed_draft_is_a_record_that_verifies() {
        verifies(&Keypair::generate_ed25519());
        verifies(&Keypair::generate_secp256k1());
    }

    #[test]
    fn a_signed_draft_brings_the_key_that_its_name_does_not_contain() {
        verifies(&Keypair::generate_ecdsa());
    }

    fn verifies(owner: &Keypair) {
        let key = RecordKey::new(Namespace::Ipns, owner.public().to_peer_id());
        for sequence in [0, 23, 24, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            let draft =
                Draft { value: "/ipfs/x", sequence, eol: "2030-01-02T03:04:05Z", ttl: 60_000_000_000 };
            let entry = Entry::parse(&key, draft.sign(owner).unwrap()).unwrap();
            let record = entry.verify(Timestamp::from_unix_seconds(1_800_000_000)).unwrap();
            let ipns = record.ipns().unwrap();
            assert_eq!(
                (ipns.sequence, ipns.ttl, &ipns.value[..]),
                (sequence, Some(draft.ttl), &b"/ipfs/x"[..])
            );
            assert_eq!(ipns.eol, Timestamp::parse_rfc3339(draft.eol.as_bytes()).unwrap());
        }
    }
}

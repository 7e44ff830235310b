//! IPNS names, and records of them as their owners make them.

use crate::doubles::START;
use bytes::Bytes;
use hydra_records::Draft;
use libp2p_identity::Keypair;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A name and its key.
pub(crate) struct Name(Keypair);

impl Name {
    /// The name of this number.
    pub(crate) fn of(number: u8) -> Self {
        let mut seed = [number; 32];
        Self(Keypair::ed25519_from_bytes(&mut seed).unwrap())
    }

    /// The key of its records.
    pub(crate) fn key(&self) -> Vec<u8> {
        [b"/ipns/", self.0.public().to_peer_id().to_bytes().as_slice()].concat()
    }

    /// A record that is good for two days from the beginning of a test.
    pub(crate) fn record(&self, sequence: u64) -> Bytes {
        self.until(sequence, Duration::from_secs(48 * 3_600))
    }

    /// A record that is good for so long from the beginning of a test.
    pub(crate) fn until(&self, sequence: u64, life: Duration) -> Bytes {
        self.with(sequence, life, "/ipfs/bafkqaaa")
    }

    /// A record nearly as long as they may be, good for two days from the beginning of a test.
    pub(crate) fn long(&self, sequence: u64) -> Bytes {
        self.with(sequence, Duration::from_secs(48 * 3_600), &"/long".repeat(2_000))
    }

    fn with(&self, sequence: u64, life: Duration, value: &str) -> Bytes {
        let ends = OffsetDateTime::from_unix_timestamp(i64::from(START.0)).unwrap() + life;
        let ends = ends.format(&Rfc3339).unwrap();
        Draft { value, sequence, eol: &ends, ttl: 0 }.sign(&self.0).unwrap()
    }
}

/// The record with a wrong signature.
pub(crate) fn forged(record: &Bytes) -> Bytes {
    let mut record = record.to_vec();
    record[10] ^= 1;
    record.into()
}

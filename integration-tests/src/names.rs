//! IPNS names, and requests for their records.

use bytes::Bytes;
use hydra_kad::{Record, Request};
use hydra_records::Draft;
use libp2p::identity::{Keypair, SigningError};

/// An end that no test lives to see.
const EOL: &str = "2090-01-02T03:04:05.123456789Z";

/// A name and its owner.
#[derive(Debug)]
pub struct Name(Keypair);

impl Default for Name {
    fn default() -> Self {
        Self(Keypair::generate_ed25519())
    }
}

impl Name {
    /// The key of its records.
    #[must_use]
    pub fn key(&self) -> Bytes {
        [b"/ipns/", self.0.public().to_peer_id().to_bytes().as_slice()].concat().into()
    }

    /// A record with this sequence.
    ///
    /// # Errors
    /// None with the keys that are used here.
    pub fn record(&self, sequence: u64) -> Result<Bytes, SigningError> {
        self.until(sequence, EOL)
    }

    /// A record with this sequence and end.
    ///
    /// # Errors
    /// None with the keys that are used here.
    pub fn until(&self, sequence: u64, eol: &str) -> Result<Bytes, SigningError> {
        Draft { value: "/ipfs/bafkqaaa", sequence, eol, ttl: 0 }.sign(&self.0)
    }

    /// A record of this many bytes, enough of them for what a record needs.
    ///
    /// # Errors
    /// None with the keys that are used here.
    pub fn sized(&self, bytes: usize) -> Result<Bytes, SigningError> {
        let padded = |padding: usize| {
            let value = "x".repeat(padding);
            Draft { value: &value, sequence: 1, eol: EOL, ttl: 0 }.sign(&self.0)
        };
        // The lengths before the parts are those of long ones.
        let overhead = padded(bytes / 2)?.len() - bytes / 2;
        padded(bytes - overhead)
    }

    /// The request for its record.
    #[must_use]
    pub fn get(&self) -> Request {
        Request::GetValue { key: self.key() }
    }
}

/// The request that puts a value.
#[must_use]
pub fn put(key: &Bytes, value: &Bytes) -> Request {
    let record = Record { key: key.clone(), value: value.clone(), time_received: "then".into() };
    Request::PutValue { key: key.clone(), record: Some(record) }
}

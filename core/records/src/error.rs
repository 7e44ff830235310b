//! Why a key or a record is refused.

use crate::{IPNS_BYTES_MAX, PUBLIC_KEY_BYTES_MAX};

/// Why bytes are no [`RecordKey`](crate::RecordKey).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The namespace is neither `pk` nor `ipns`, or there is none (U2).
    #[error("the key is in neither of the namespaces /pk/ and /ipns/")]
    Namespace,
    /// What follows the namespace is not a peer id.
    #[error("the key does not end in a binary peer id")]
    PeerId,
}

impl KeyError {
    /// A short constant, for a metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::PeerId => "key-peer-id",
        }
    }
}

/// Why a record is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key is not the key of a value record.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The record has more bytes than a record of its namespace may have (U4).
    #[error(
        "the record has {len} bytes: an IPNS record has at most {IPNS_BYTES_MAX}, a public key {PUBLIC_KEY_BYTES_MAX}"
    )]
    Size {
        /// The record's length in bytes.
        len: usize,
    },
    /// The IPNS entry is not valid protobuf, or has more than 64 fields.
    #[error("the IPNS entry is not valid protobuf of at most 64 fields")]
    Protobuf,
    /// The field `signatureV2` is missing or empty: a record with a V1 signature alone is never valid.
    #[error("the IPNS entry has no V2 signature")]
    NoSignature,
    /// The field `data` is missing or empty.
    #[error("the IPNS entry has no data")]
    NoData,
    /// The data is not a strict DAG-CBOR map, or has more than 64 items.
    #[error("the data of the IPNS entry is not a DAG-CBOR map: {0}")]
    Cbor(&'static str),
    /// A required field of the data is missing or has another type.
    #[error("the data of the IPNS entry has no valid field {0}")]
    Field(&'static str),
    /// A legacy field of the entry differs from the signed data.
    #[error("the legacy field {0} of the IPNS entry differs from its data")]
    Mismatch(&'static str),
    /// The validity type is not 0 (end of life).
    #[error("the validity type of the IPNS entry is not 0 (end of life)")]
    ValidityType,
    /// The validity is not an RFC 3339 time.
    #[error("the validity of the IPNS entry is not an RFC 3339 time")]
    Validity,
    /// The record's end of life is over.
    #[error("the IPNS entry has expired")]
    Expired,
    /// The record carries no public key, and its name does not inline one.
    #[error("the public key is neither in the IPNS entry nor inlined in its name")]
    NoPublicKey,
    /// The public key cannot be decoded.
    #[error("the public key is not a valid Ed25519, RSA, secp256k1 or P-256 key")]
    PublicKey,
    /// The RSA modulus is outside of what go-libp2p accepts.
    #[error("the RSA key has {bits} bits, not 2048 to 8192")]
    RsaBits {
        /// The length of the modulus in bits.
        bits: usize,
    },
    /// The public key does not belong to the peer id in the record's key (U3, U5).
    #[error("the public key does not match the peer id of the key")]
    WrongKey,
    /// The V2 signature does not verify.
    #[error("the V2 signature of the IPNS entry does not verify")]
    Signature,
    /// A better record is held (U6). Not returned by this crate: callers return it on [`Comparison::Worse`](crate::Comparison::Worse).
    #[error("a better record is held")]
    Old,
}

impl Error {
    /// A short constant, for a metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Key(key) => key.reason(),
            Self::Size { .. } => "size",
            Self::Protobuf => "protobuf",
            Self::NoSignature => "no-signature",
            Self::NoData => "no-data",
            Self::Cbor(_) => "cbor",
            Self::Field(_) => "field",
            Self::Mismatch(_) => "v1-mismatch",
            Self::ValidityType => "validity-type",
            Self::Validity => "validity",
            Self::Expired => "expired",
            Self::NoPublicKey => "no-public-key",
            Self::PublicKey => "public-key",
            Self::RsaBits { .. } => "rsa-bits",
            Self::WrongKey => "wrong-key",
            Self::Signature => "signature",
            Self::Old => "old",
        }
    }
}

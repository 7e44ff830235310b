//! Validation and selection of the DHT's value records: public keys (`/pk/`) and IPNS records (`/ipns/`).
//!
//! Pure functions: no I/O, no clock (the time is an argument), no panic on any input. Every length is checked before the bytes are
//! parsed. A caller proceeds from cheap to expensive:
//!
//! ```
//! # use hydra_records::{Entry, Error, Record, RecordKey, Comparison, Timestamp};
//! # fn put(key: &[u8], value: bytes::Bytes, held: Option<&Entry>, now: Timestamp) -> Result<Option<Record>, Error> {
//! let key = RecordKey::parse(key)?; //                 tens of nanoseconds, no allocation
//! let entry = Entry::parse(&key, value)?; //           a few microseconds at most, no cryptography
//! if let Some(held) = held {
//!     match entry.compared_with(held, now) { //             a comparison
//!         Comparison::Same => return Ok(None), //        was verified when it was stored
//!         Comparison::Worse => return Err(Error::Old),
//!         Comparison::Better => {}
//!     }
//! }
//! entry.verify(now).map(Some) //                       one signature: tens to hundreds of microseconds
//! # }
//! ```
//!
//! Sources: the IPNS record specification (<https://specs.ipfs.tech/ipns/ipns-record/>), the IPFS DHT specification
//! (<https://specs.ipfs.tech/routing/kad-dht/>) and, where these leave room, boxo 0.41 and go-libp2p-record.
//!
//! # Bounds
//!
//! A record is parsed before anything is known of its signature, and again whenever it is compared with another one. So the work for
//! one is bounded, whatever it contains: [`IPNS_BYTES_MAX`] bytes, 64 protobuf fields and 64 items of DAG-CBOR (maps, keys and values;
//! a record has nine fields and 11 items, and two items for each entry of metadata). What exceeds a bound is refused where it does. A
//! held record that is refused, as of an older version, counts as none: any valid record takes its place.
//!
//! # Where boxo judges otherwise
//!
//! Refused here, and not by boxo 0.41. No software is known that makes such records:
//!
//! - more than 64 protobuf fields or items of DAG-CBOR: see above;
//! - DAG-CBOR that is not strict: the signed bytes have one meaning for all who read them;
//! - an end of life with a comma before its fraction or an hour of one digit, which Go's parser accepts: RFC 3339 does not have them;
//! - a legacy `sequence`, `validity`, `validityType` or `ttl` that differs from the data, in a record without a V1 signature and value:
//!   nobody signed it, and clients that read it would be deceived;
//! - a TTL that is no integer: boxo ignores it if there are no V1 fields, the specification does not have it;
//! - ECDSA keys on other curves than P-256, the one that rust-libp2p has;
//! - public keys of more than [`PUBLIC_KEY_BYTES_MAX`] bytes.
//!
//! Accepted here: a `Sequence` of 2^63 or more in a record without V1 fields. The specification has an unsigned number; boxo finds the
//! record valid and fails to compare it with others.

mod cbor;
mod document;
mod draft;
mod entry;
mod envelope;
mod error;
mod key;
mod public_key;
mod time;

pub use draft::Draft;
pub use entry::{Comparison, Entry, Ipns, Record, select};
pub use error::{Error, KeyError};
pub use key::{Namespace, RecordKey};
pub use time::Timestamp;

/// The longest IPNS record, in bytes: the specification's *Record Size Limit* (U4).
pub const IPNS_BYTES_MAX: usize = 10 << 10;

/// The longest serialized public key, in bytes, both as the value of a `/pk/` record and inside an IPNS record. The longest one in
/// use, RSA with 8,192 bits, has 1,067.
pub const PUBLIC_KEY_BYTES_MAX: usize = 1200;

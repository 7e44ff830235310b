//! Which record is valid, and which of two is the better one: `hydra-records` in the engine's types.

use bytes::Bytes;
use hydra_api::{UnixSeconds, ValueKey};
use hydra_records::{Comparison, Entry, Error, RecordKey, Timestamp};

/// A record that was put. Its bounds and fields are checked, its signature is not.
#[derive(Debug)]
pub(super) struct Claim {
    entry: Entry,
    now: Timestamp,
}

/// Whether this is the key of a public key or a name: of others there are no records (U2).
pub(crate) fn is_kept(key: &ValueKey) -> bool {
    RecordKey::parse(key.as_bytes()).is_ok()
}

impl Claim {
    /// Checks what costs no cryptography.
    ///
    /// # Errors
    /// The rule that the record breaks.
    pub(super) fn parse(key: &ValueKey, value: Bytes, now: UnixSeconds) -> Result<Self, Error> {
        let entry = Entry::parse(&RecordKey::parse(key.as_bytes())?, value)?;
        let claim = Self { entry, now: timestamp(now) };
        // Records end at whole seconds here.
        if claim.ends() <= now { Err(Error::Expired) } else { Ok(claim) }
    }

    /// Checks the signature, or that a public key is that of its peer: some ten to some hundred microseconds.
    ///
    /// # Errors
    /// The rule that the record breaks.
    pub(super) fn verify(&self) -> Result<(), Error> {
        self.entry.clone().verify(self.now).map(drop)
    }

    pub(super) fn value(&self) -> &Bytes {
        self.entry.bytes()
    }

    /// When it ends to be valid.
    pub(super) fn ends(&self) -> UnixSeconds {
        let ends = self.entry.ipns().map_or(i64::MAX, |ipns| ipns.eol.unix_seconds());
        UnixSeconds(u32::try_from(ends.max(0)).unwrap_or(u32::MAX))
    }

    /// Whether it takes the place of a value that was taken before (U6). What is none any more gives way.
    pub(super) fn is_better_than(&self, held: &[u8]) -> bool {
        match Entry::parse(self.entry.key(), Bytes::copy_from_slice(held)) {
            Ok(held) => self.entry.compared_with(&held, self.now) == Comparison::Better,
            Err(_) => true,
        }
    }
}

/// Whether one value of a key, which was taken, takes the place of another.
pub(super) fn is_better(key: &ValueKey, value: &[u8], other: &[u8], now: UnixSeconds) -> bool {
    let claim = Claim::parse(key, Bytes::copy_from_slice(value), now);
    claim.is_ok_and(|claim| claim.is_better_than(other))
}

fn timestamp(at: UnixSeconds) -> Timestamp {
    Timestamp::from_unix_seconds(at.0.into())
}

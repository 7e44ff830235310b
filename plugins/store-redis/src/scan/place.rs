//! Where a scan goes on.

use crate::layout::{Fingerprint, Layout};
use hydra_api::Cursor;

/// Marks a cursor as one of this kind of store.
const TAG: u8 = b'r';

/// How far a scan is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Bucket(Bucket),
    Plain(PlainPlace),
}

/// A bucket, and the part of it that is done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Bucket {
    pub(super) partition: u16,
    pub(super) bucket: u64,
    /// The last field that was looked at: those before it are done.
    pub(super) after: Option<(Vec<u8>, Within)>,
}

/// A step of `SCAN` on one of the servers, and the part of it that is done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PlainPlace {
    /// Which servers there are: a cursor of `SCAN` means nothing to another server, or to one that was started again.
    pub(super) fleet: u64,
    pub(super) node: u16,
    pub(super) cursor: u64,
    pub(super) after: Option<After>,
}

/// The last key of a step that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct After {
    pub(super) name: Vec<u8>,
    /// A digest of the names of the step up to this one: the step is done again if it has others now.
    pub(super) digest: u64,
    pub(super) within: Within,
}

/// The part of a key that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// Nothing of it.
    Nothing,
    /// Its packed providers up to this one, in the order of fingerprints.
    Packed(Fingerprint),
    /// The members of its sorted set up to this one, in the order of the set: a refresh moves a member further on.
    Set(u32, Fingerprint),
    /// All of it.
    Whole,
}

impl Place {
    pub(super) fn cursor(&self, layout: &Layout) -> Option<Cursor> {
        let mut bytes = vec![TAG];
        bytes.extend_from_slice(&layout.salt()[..4]);
        match self {
            Self::Bucket(Bucket { partition, bucket, after }) => {
                bytes.push(b'b');
                bytes.extend_from_slice(&partition.to_be_bytes());
                bytes.extend_from_slice(&bucket.to_be_bytes());
                if let Some((field, within)) = after {
                    within.put(&mut bytes);
                    bytes.extend_from_slice(field);
                }
            }
            Self::Plain(PlainPlace { fleet, node, cursor, after }) => {
                bytes.push(b'k');
                bytes.extend_from_slice(&fleet.to_be_bytes());
                bytes.extend_from_slice(&node.to_be_bytes());
                bytes.extend_from_slice(&cursor.to_be_bytes());
                if let Some(After { name, digest, within }) = after {
                    within.put(&mut bytes);
                    bytes.extend_from_slice(&digest.to_be_bytes());
                    bytes.extend_from_slice(name);
                }
            }
        }
        Cursor::new(bytes).ok()
    }

    /// The place of a cursor; none if it is not one of these keys.
    pub(super) fn of_cursor(cursor: &Cursor, layout: &Layout) -> Option<Self> {
        let mut rest = cursor.as_bytes().strip_prefix(&[TAG])?.strip_prefix(&layout.salt()[..4])?;
        match take(&mut rest)? {
            [b'b'] => {
                let partition = u16::from_be_bytes(take(&mut rest)?);
                let bucket = u64::from_be_bytes(take(&mut rest)?);
                let after = match rest {
                    [] => None,
                    _ => Some((Within::take(&mut rest)?, rest.to_vec())),
                };
                let after = after.map(|(within, field)| (field, within));
                Some(Self::Bucket(Bucket { partition, bucket, after }))
            }
            [b'k'] => {
                let fleet = u64::from_be_bytes(take(&mut rest)?);
                let node = u16::from_be_bytes(take(&mut rest)?);
                let cursor = u64::from_be_bytes(take(&mut rest)?);
                let after = match rest {
                    [] => None,
                    _ => {
                        let within = Within::take(&mut rest)?;
                        let digest = u64::from_be_bytes(take(&mut rest)?);
                        Some(After { name: rest.to_vec(), digest, within })
                    }
                };
                Some(Self::Plain(PlainPlace { fleet, node, cursor, after }))
            }
            _ => None,
        }
    }
}

impl Within {
    fn put(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Packed(fingerprint) => {
                bytes.push(b'i');
                bytes.extend_from_slice(&fingerprint);
            }
            Self::Set(score, fingerprint) => {
                bytes.push(b'z');
                bytes.extend_from_slice(&score.to_be_bytes());
                bytes.extend_from_slice(&fingerprint);
            }
            Self::Whole => bytes.push(b'w'),
            Self::Nothing => bytes.push(b'n'),
        }
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        match take(rest)? {
            [b'i'] => Some(Self::Packed(take(rest)?)),
            [b'z'] => Some(Self::Set(u32::from_be_bytes(take(rest)?), take(rest)?)),
            [b'w'] => Some(Self::Whole),
            [b'n'] => Some(Self::Nothing),
            _ => None,
        }
    }
}

/// The first bytes of what is left.
fn take<const LEN: usize>(rest: &mut &[u8]) -> Option<[u8; LEN]> {
    let (first, after) = rest.split_first_chunk::<LEN>()?;
    *rest = after;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Form;

    #[test]
    fn every_place_comes_back_and_other_keys_have_other_cursors() {
        let layout = Layout::new("one", Form::Plain);
        let other = Layout::new("one", Form::Plain);
        let withins = [Within::Packed([1; 6]), Within::Set(9, [2; 6]), Within::Whole, Within::Nothing];
        let afters = withins.into_iter().map(Some).chain([None]);
        for within in afters {
            let after = within.map(|within| (b"field".to_vec(), within));
            let bucket = Place::Bucket(Bucket { partition: 3, bucket: 70_000, after });
            let after = within.map(|within| After { name: b"name".to_vec(), digest: 7, within });
            let plain = Place::Plain(PlainPlace { fleet: 1, node: 2, cursor: u64::MAX, after });
            for place in [bucket, plain] {
                let cursor = place.cursor(&layout).unwrap();
                assert_eq!(Place::of_cursor(&cursor, &layout), Some(place));
                assert_eq!(Place::of_cursor(&cursor, &other), None, "another salt");
            }
        }
    }
}

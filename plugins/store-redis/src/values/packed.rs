//! A value record as a server keeps it: when it was received and expires, the mark of the put that brought it, and the value.

use bytes::Bytes;
use hydra_api::{UnixSeconds, ValueRecord};

/// What tells one put from another.
pub(super) type Mark = [u8; 8];

/// The bytes before the value.
pub(super) const HEADER_LEN: usize = 16;

pub(super) fn pack(record: &ValueRecord, mark: Mark) -> Vec<u8> {
    let (received, expires) = (record.received.0.to_be_bytes(), record.expires.0.to_be_bytes());
    [&received[..], &expires[..], &mark[..], &record.value[..]].concat()
}

/// The record; none of bytes that are too few, as after a change by hand.
pub(super) fn unpack(packed: &[u8]) -> Option<ValueRecord> {
    let (received, rest) = packed.split_first_chunk()?;
    let (expires, rest) = rest.split_first_chunk()?;
    let (_, value) = rest.split_first_chunk::<8>()?;
    Some(ValueRecord {
        value: Bytes::copy_from_slice(value),
        received: UnixSeconds(u32::from_be_bytes(*received)),
        expires: UnixSeconds(u32::from_be_bytes(*expires)),
    })
}

/// The mark of a record.
pub(super) fn mark(packed: &[u8]) -> Option<&[u8]> {
    packed.get(8..HEADER_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_fewer_bytes_are_none() {
        let record = ValueRecord {
            value: Bytes::from_static(b"value"),
            received: UnixSeconds(7),
            expires: UnixSeconds(u32::MAX),
        };
        let packed = pack(&record, [9; 8]);
        assert_eq!(packed.len(), HEADER_LEN + 5);
        assert_eq!((unpack(&packed), mark(&packed)), (Some(record), Some(&[9; 8][..])));
        assert_eq!(unpack(&packed[..HEADER_LEN - 1]), None);
    }
}

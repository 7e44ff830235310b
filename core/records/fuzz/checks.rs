//! What holds of any bytes: for the fuzz targets, and for the test that replays their corpus.

use bytes::Bytes;
use hydra_records::{
    Comparison, Entry, IPNS_BYTES_MAX, Namespace, PUBLIC_KEY_BYTES_MAX, RecordKey, Timestamp, select,
};

/// The key of one identity, for input that brings none: an Ed25519 key of zeros, inlined.
const KEY: [u8; 44] = {
    let mut key = [0; 44];
    let start = *b"/ipns/\x00\x24\x08\x01\x12\x20";
    let mut at = 0;
    while at < start.len() {
        key[at] = start[at];
        at += 1;
    }
    key
};

/// A key, its length before it, and what follows. Bytes that are no key are given one.
fn split(bytes: &[u8]) -> Option<(RecordKey, &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    let (key, value) = rest.split_at_checked(usize::from(len)).unwrap_or((&[], rest));
    let key = match RecordKey::parse(key) {
        Ok(parsed) => {
            assert_eq!(parsed.to_bytes(), key);
            assert!(key.len() <= RecordKey::LEN_MAX);
            parsed
        }
        Err(_) => RecordKey::parse(&KEY).ok()?,
    };
    Some((key, value))
}

/// Whatever bytes come, a record is within its bounds, verifying it does not panic, and what is verified is what came.
pub(crate) fn record(bytes: &[u8]) {
    let Some((key, value)) = split(bytes) else { return };
    let Ok(entry) = Entry::parse(&key, Bytes::copy_from_slice(value)) else { return };
    assert_eq!((entry.bytes(), entry.key()), (&Bytes::copy_from_slice(value), &key));
    match key.namespace() {
        Namespace::PublicKey => assert!(value.len() <= PUBLIC_KEY_BYTES_MAX && entry.ipns().is_none()),
        Namespace::Ipns => {
            let ipns = entry.ipns().expect("an entry of a name has fields");
            assert!(value.len() <= IPNS_BYTES_MAX && ipns.value.len() <= value.len());
        }
    }
    for now in [i64::MIN, 0, i64::MAX].map(Timestamp::from_unix_seconds) {
        assert_eq!(entry.compared_with(&entry, now), Comparison::Same);
        if let Ok(verified) = entry.clone().verify(now) {
            assert!(verified.bytes() == value && !entry.is_expired(now));
        }
    }
}

/// Whatever two records of a key come, one of them is better, whichever is held, unless they are the same or no names.
pub(crate) fn order(bytes: &[u8]) {
    let Some((key, values)) = split(bytes) else { return };
    let Some((len, rest)) = values.split_first_chunk() else { return };
    let Some((one, other)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len))) else { return };
    let parse = |value: &[u8]| Entry::parse(&key, Bytes::copy_from_slice(value)).ok();
    let (Some(one), Some(other)) = (parse(one), parse(other)) else { return };
    assert_eq!(one.preference(&other), other.preference(&one).reverse());
    assert_eq!(one.preference(&other).is_eq(), one.bytes() == other.bytes());
    let never = Timestamp::from_unix_seconds(i64::MIN);
    let results = [one.compared_with(&other, never), other.compared_with(&one, never)];
    match key.namespace() {
        _ if one.bytes() == other.bytes() => assert_eq!(results, [Comparison::Same; 2]),
        Namespace::PublicKey => assert_eq!(results, [Comparison::Worse; 2]),
        Namespace::Ipns => {
            assert_ne!(results[0], results[1]);
            assert!(!results.contains(&Comparison::Same));
            assert_eq!(select([&one, &other]), select([&other, &one]));
        }
    }
}

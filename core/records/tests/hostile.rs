//! Whatever bytes come, nothing panics, and no change of a valid record's signed part verifies.
//!
//! `HYDRA_TEST_FUZZ_S` sets how many seconds the mutations run (1 by default).

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod common;

use bytes::Bytes;
use common::{Maker, now, vectors};
use hydra_records::{Entry, RecordKey, Timestamp};
use libp2p_identity::Keypair;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::cmp::Ordering;
use std::time::{Duration, Instant};

fn mutate(rng: &mut StdRng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.random()),
            2 if at < bytes.len() => bytes[at] = rng.random(),
            3 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            4 if at < bytes.len() => drop(bytes.remove(at)),
            _ => {
                let from = rng.random_range(0..=at);
                let copy = bytes[from..at].to_vec();
                bytes.splice(from..from, copy);
            }
        }
    }
}

#[test]
fn mutations_of_valid_records_never_panic_and_never_change_what_is_signed() {
    let seconds = std::env::var("HYDRA_TEST_FUZZ_S").map_or(1, |seconds| seconds.parse().unwrap());
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let all: Vec<_> = vectors().iter().map(|vector| (vector.key(), vector.value())).collect();
    let verify = |(key, value): &(RecordKey, Bytes)| Entry::parse(key, value.clone())?.verify(now());
    let valid: Vec<_> = all.iter().flat_map(verify).collect();
    let (started, mut tried, mut parsed, mut verified) = (Instant::now(), 0_u64, 0_u64, 0_u64);
    while started.elapsed() < Duration::from_secs(seconds) {
        let (key, value) = &all[rng.random_range(0..all.len())];
        let mut bytes = value.to_vec();
        mutate(&mut rng, &mut bytes);
        tried += 1;
        let Ok(entry) = Entry::parse(key, bytes) else { continue };
        parsed += 1;
        if let Ok(record) = entry.verify(now()) {
            verified += 1;
            // Without its legacy fields, which nobody signed, a broken record may be valid; its data is still that of a valid one.
            let known = valid.iter().any(|known| known.key() == key && known.ipns() == record.ipns());
            assert!(known, "{key:?}: {:?}", record.bytes());
        }
        let mut bytes = key.to_bytes();
        mutate(&mut rng, &mut bytes);
        if let Ok(key) = RecordKey::parse(&bytes) {
            assert_eq!(key.to_bytes(), bytes);
        }
    }
    eprintln!("{tried} tried, {parsed} parsed, {verified} verified");
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let keys = Keypair::generate_ed25519();
    let eol = prop_oneof![Just("2126-01-01T00:00:00Z"), Just("2126-01-01T00:00:00.000000001Z")];
    let field = prop_oneof![Just(vec![]), Just(vec![0x78, 1]), Just(vec![0x78, 2])];
    let entry =
        (prop_oneof![0..3_u64, Just(u64::MAX)], eol, field).prop_map(move |(sequence, eol, fields)| {
            let maker = Maker { fields, ..Maker::new(keys.clone(), sequence, eol) };
            Entry::parse(&maker.key(), maker.make()).unwrap()
        });
    prop::collection::vec(entry, 3)
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for vector in vectors().iter().take(2) {
            prop_assert!(Entry::parse(&vector.key(), bytes.clone()).and_then(|entry| entry.verify(now())).is_err());
        }
        prop_assert_eq!(RecordKey::parse(&bytes).map(|key| key.to_bytes()).unwrap_or(bytes.clone()), bytes);
    }

    #[test]
    fn any_text_is_a_time_or_refused(text in "[0-9TZ:.+-]{0,40}") {
        let _: Option<Timestamp> = Timestamp::parse_rfc3339(text.as_bytes());
    }

    #[test]
    fn u6_the_preference_is_a_total_order(entries in entries()) {
        let [a, b, c] = &entries[..] else { unreachable!() };
        prop_assert_eq!(a.preference(b), b.preference(a).reverse());
        prop_assert_eq!(a.preference(b) == Ordering::Equal, a.bytes() == b.bytes());
        if a.preference(b).is_le() && b.preference(c).is_le() {
            prop_assert!(a.preference(c).is_le());
        }
        prop_assert_eq!(a.preference(a), Ordering::Equal);
    }
}

//! What a record costs: parsing it, comparing it with the one that is held, and verifying it, by type of key.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

#[path = "../tests/common/mod.rs"]
mod common;

use bytes::Bytes;
use common::{Maker, now, vectors};
use divan::{Bencher, black_box};
use hydra_records::{Entry, RecordKey};

fn main() {
    divan::main();
}

const KINDS: [&str; 5] = ["ed25519", "secp256k1", "ecdsa", "rsa-2048", "rsa-4096"];

fn record(kind: &str, what: &str) -> (RecordKey, Bytes) {
    let name = format!("{kind} {what}");
    let vector = vectors().into_iter().find(|vector| vector.name == name).unwrap();
    (vector.key(), vector.value())
}

#[divan::bench]
fn parse_key(bencher: Bencher<'_, '_>) {
    let bytes = record("ed25519", "with metadata").0.to_bytes();
    bencher.bench_local(|| RecordKey::parse(black_box(&bytes)));
}

#[divan::bench(args = KINDS)]
fn parse_ipns(bencher: Bencher<'_, '_>, kind: &str) {
    let (key, bytes) = record(kind, "with metadata");
    bencher.bench_local(|| Entry::parse(&key, black_box(&bytes).clone()));
}

/// What takes longest to parse: as many items and fields as there may be, keys that have to be compared, text that is no ASCII.
#[divan::bench(args = ["keys", "text", "fields", "too many"])]
fn parse_stuffed(bencher: Bencher<'_, '_>, with: &str) {
    let text = "\u{e9}".repeat(4_500);
    let text = [&[0x79, (text.len() >> 8) as u8, text.len() as u8][..], text.as_bytes()].concat();
    let keys = |len: u8| {
        let one = |number: u8| [&[0x78, 200][..], &[b'a'; 199], &[b'z' - number, 0xf6]].concat();
        [vec![0xb8, len], (0..len).flat_map(one).collect()].concat()
    };
    let maker = Maker::new(libp2p_identity::Keypair::generate_ed25519(), 1, "2126-01-01T00:00:00Z");
    let maker = match with {
        "keys" => maker.set("_", Some(keys(25))),
        "text" => maker.set("_", Some(text)),
        "fields" => Maker { fields: [0x7b, 0x7c].repeat(31), ..maker },
        _ => maker.set("_", Some([&[0x99, 0x20, 0][..], &[0xa0; 0x2000]].concat())),
    };
    let (key, bytes) = (maker.key(), Bytes::from(maker.make()));
    assert_eq!(Entry::parse(&key, bytes.clone()).is_ok(), with != "too many");
    bencher.bench_local(|| Entry::parse(&key, black_box(&bytes).clone()));
}

#[divan::bench]
fn comparison_same(bencher: Bencher<'_, '_>) {
    let (key, bytes) = record("rsa-2048", "with metadata");
    let (held, new) =
        (Entry::parse(&key, bytes.to_vec()).unwrap(), Entry::parse(&key, bytes.to_vec()).unwrap());
    bencher.bench_local(|| black_box(&new).compared_with(&held, now()));
}

#[divan::bench(args = KINDS)]
fn verify_ipns(bencher: Bencher<'_, '_>, kind: &str) {
    let (key, bytes) = record(kind, "with metadata");
    let entry = Entry::parse(&key, bytes).unwrap();
    bencher.bench_local(|| entry.clone().verify(now()).unwrap());
}

#[divan::bench(args = KINDS)]
fn verify_public_key(bencher: Bencher<'_, '_>, kind: &str) {
    let (key, bytes) = record(kind, "public key");
    let entry = Entry::parse(&key, bytes).unwrap();
    bencher.bench_local(|| entry.clone().verify(now()).unwrap());
}

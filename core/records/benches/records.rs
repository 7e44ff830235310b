//! What a record costs: parsing it, comparing it with the one that is held, and verifying it, by type of key.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

#[path = "../tests/common/mod.rs"]
mod common;

use bytes::Bytes;
use common::{now, vectors};
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

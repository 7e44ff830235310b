//! What a decision costs: `cargo bench -p hydra-admission-denylist`.
//!
//! Times are per 1,000 decisions on keys that are not listed, so nanoseconds per decision read as microseconds.

#![expect(clippy::unwrap_used, reason = "a bench that cannot run ends")]

use divan::Bencher;
use hydra_admission_denylist::{Config, Denylist};
use hydra_api::{AdmissionPolicy, ContentKey, Load, Operation, PeerId, Plugin, Request, Scope};
use hydra_conformance::given::{key, peer};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

const ASKED: u64 = 1000;
const RULES: u64 = 1_000_000;

fn policy(lines: &str) -> Arc<dyn AdmissionPolicy> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bench.deny"), lines).unwrap();
    let config = Config { files: vec!["bench.deny".into()], ..Config::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Denylist::open(config, &Scope::new(dir.path()))).unwrap()
}

fn plain() -> String {
    let mut lines = String::new();
    for number in 0..RULES {
        writeln!(lines, "/ipfs/{}", cid::multibase::Base::Base58Btc.encode(key(number).as_bytes())).unwrap();
    }
    lines
}

fn modern() -> String {
    let mut lines = String::new();
    for number in 0..1000 {
        writeln!(lines, "//{}", cid::multibase::Base::Base58Btc.encode(key(number).as_bytes())).unwrap();
    }
    lines
}

fn legacy() -> String {
    (0..1000).map(|number| format!("//{}\n", &key(number).to_string()[4..])).collect()
}

fn decide(bencher: Bencher<'_, '_>, policy: &dyn AdmissionPolicy) {
    let keys: Vec<ContentKey> = (0..ASKED).map(|number| key((1 << 40) + number)).collect();
    let (peer, now): (PeerId, _) = (peer(1), Instant::now());
    bencher.counter(ASKED).bench_local(|| {
        for key in &keys {
            let request = Request::new(Operation::GetProviders, peer, None, 0, key.as_bytes());
            divan::black_box(policy.admit(&request, &Load::IDLE, now));
        }
    });
}

#[divan::bench]
fn a_million_plain_rules(bencher: Bencher<'_, '_>) {
    decide(bencher, &*policy(&plain()));
}

#[divan::bench]
fn with_double_hashes(bencher: Bencher<'_, '_>) {
    decide(bencher, &*policy(&modern()));
}

#[divan::bench]
fn with_legacy_double_hashes(bencher: Bencher<'_, '_>) {
    decide(bencher, &*policy(&legacy()));
}

fn main() {
    divan::main();
}

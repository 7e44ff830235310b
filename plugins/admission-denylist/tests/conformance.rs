//! The rules of an admission policy, put to this one with rules of both kinds.

use hydra_admission_denylist::{Config, Denylist};
use hydra_conformance::{Place, admission, given, run};
use sha2::Digest;
use std::process::ExitCode;

hydra_conformance::count_allocations!();

/// A place with a list of these lines, where a key is asked for that it denies.
async fn place(lines: String) -> Place {
    let denied = given::key(1);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("test.deny");
    std::fs::write(&file, lines).expect("a file");
    Place::of(Config { files: vec![file], ..Config::default() }).asking_for(denied).guarded_by(dir)
}

fn base58(bytes: &[u8]) -> String {
    cid::multibase::Base::Base58Btc.encode(bytes)
}

fn main() -> ExitCode {
    let denied = base58(given::key(1).as_bytes());
    let plain = format!("/ipfs/{denied}\n");
    let double = [&[0x12, 0x20], &sha2::Sha256::digest(denied)[..]].concat();
    // The legacy rule is about another key: it makes every decision look for that form as well.
    let hashed = format!("//{}\n//{}\n", base58(&double), "0123456789abcdef".repeat(4));
    run([
        admission::<Denylist, _, _>(move || place(plain.clone())).named("plain"),
        admission::<Denylist, _, _>(move || place(hashed.clone())).named("double-hashed"),
    ])
}

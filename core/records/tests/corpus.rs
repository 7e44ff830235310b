//! Replays the corpus of the fuzz targets, so that what they found once is tried in every run.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "../fuzz/checks.rs"]
mod checks;

use std::path::Path;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = std::fs::read_dir(folder).unwrap();
    let all: Vec<_> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(all.len() >= 10, "{} files", all.len());
    all
}

#[test]
fn u4_u5_the_corpus_of_records_is_parsed_within_bounds_and_verified_without_a_panic() {
    corpus("record").iter().for_each(|bytes| checks::record(bytes));
}

#[test]
fn u6_of_each_pair_of_the_corpus_one_is_better_whichever_is_held() {
    corpus("order").iter().for_each(|bytes| checks::order(bytes));
}

//! The short form of the laboratory, as CI runs it: the shipped default keeps its database safe, and a baseline does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use hydra_conformance::servers::{self, Postgres};
use hydra_integration_tests::node;
use std::process::Command;

/// What saturates the server with its share of a core; five times as much can be offered by a build without optimisation.
const BASE: &str = "140";

#[test]
fn the_default_is_safe_under_overload_and_a_baseline_is_not() {
    if Postgres::installed().is_none() && !servers::required() {
        eprintln!("PostgreSQL is not installed");
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let mut laboratory = Command::new(env!("CARGO_BIN_EXE_hydra-overload"));
    laboratory.args(["--short", "--base", BASE, "--program"]).arg(node::program().unwrap());
    let ended = laboratory.arg("--out").arg(out.path()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    let page = std::fs::read_to_string(out.path().join("ARMS.md")).unwrap_or_default();
    assert!(ended.status.success(), "{said}\n{page}");
    for file in [
        "postgres.csv",
        "postgres-no-gate.csv",
        "postgres-arms.svg",
        "postgres-freeze-10.svg",
        "triggers.csv",
    ] {
        assert!(out.path().join(file).exists(), "{file}: {said}");
    }
}

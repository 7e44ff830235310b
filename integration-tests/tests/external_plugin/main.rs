//! A plugin of a third party, in a crate outside of the workspace: it is built, picked in TOML, and does its work.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cargo;
mod guide;

use hydra_integration_tests::foreign::rust;
use hydra_integration_tests::node::{Home, Node, command};
use hydra_integration_tests::peer::Peer;
use hydra_kad::Answer;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

const PROTOCOL: &str = "/ipfs/kad/1.0.0";
/// Two SHA-256 multihashes: the one that is announced within the hours, and the other.
const KEYS: [&[u8]; 2] =
    [b"\x12\x20thirty-two bytes announced early", b"\x12\x20thirty-two bytes announced late_"];

/// The folder of the crate.
fn folder() -> PathBuf {
    cargo::root().join("integration-tests/external-plugin")
}

/// Runs cargo in the crate; what it prints, and where it puts what it builds.
fn cargo_in_crate(command: &str) -> (String, PathBuf) {
    let (mut cargo, built) = cargo::cargo("external-plugin");
    let profiles = cargo::root().join("Cargo.toml");
    cargo.current_dir(folder()).args([command, "--locked", "--config"]).arg(profiles);
    let printed = succeeds(&mut cargo, "where it is the lock file that is wrong, `just lock` helps");
    (printed, built)
}

/// The program of the crate, built when the first test asks for it.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| cargo_in_crate("build").1.join("debug/office-hours"))
}

/// What the program prints, given these arguments in this directory, and how it exits.
fn run(home: &Home, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(program());
    let output = cargo::bare(command.current_dir(home.path()).args(args)).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), out, err)
}

fn succeeds(command: &mut Command, what: &str) -> String {
    let output = command.output().unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{what}: {command:?}\n{out}{err}");
    out.into_owned()
}

/// A node of the program that is open for these hours, counted from the present one.
async fn node(home: &Home, opens: u64, closes: u64) -> Node {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 3600;
    let [opens, closes] = [opens, closes].map(|hours| (now + hours) % 24);
    let table = format!(
        "[[admission]]\nkind = 'office-hours'\nopens_at_hour = {opens}\ncloses_at_hour = {closes}\n\
         [engine.cache]\nmib_max = 0\n"
    );
    std::fs::write(home.path().join("node.toml"), table).unwrap();
    let mut command = command(program(), home, &[]);
    command.args(["--config", "node.toml"]);
    Node::launch(home, command).await.unwrap()
}

async fn providers(node: &Node, key: &[u8]) -> Vec<String> {
    let found = rust::find(node.heads()[1].tcp(), PROTOCOL, key).await.unwrap();
    assert!(!found.closest.is_empty(), "GET_PROVIDERS tells closer peers at any hour");
    found.providers.into_iter().map(|provider| provider.id).collect()
}

/// Announces the key at one head, demands that the provider is found at another, and returns it.
async fn announced(node: &Node, key: &[u8]) -> String {
    let provider = rust::provide(node.heads()[0].tcp(), PROTOCOL, key).await.unwrap();
    let kept = |answer: &Answer| !answer.providers.is_empty();
    let found = Peer::client(PROTOCOL).providers_until(node.heads()[1].tcp(), key, kept).await.unwrap();
    let found: Vec<_> = found.providers.iter().map(|provider| provider.peer.to_string()).collect();
    assert_eq!(found, [provider.id.as_str()], "it is kept within the hours; {}", node.home().log());
    provider.id
}

#[tokio::test]
async fn announcements_are_kept_within_the_hours_and_dropped_outside_of_them() {
    let home = Home::new().unwrap();
    let within = node(&home, 22, 3).await;
    let early = announced(&within, KEYS[0]).await;
    assert!(within.stop().await.unwrap().success(), "{}", home.log());

    let outside = node(&home, 8, 9).await;
    rust::provide(outside.heads()[0].tcp(), PROTOCOL, KEYS[1]).await.unwrap();
    let routing = Peer::client(PROTOCOL).find_node(outside.heads()[0].tcp(), KEYS[1]).await.unwrap();
    assert!(!routing.closer.is_empty(), "FIND_NODE is answered at any hour");
    assert_eq!(providers(&outside, KEYS[0]).await, [early.as_str()], "GET_PROVIDERS is answered at any hour");
    // What it had taken, it would write now.
    assert!(outside.stop().await.unwrap().success(), "{}", home.log());

    let within = node(&home, 22, 3).await;
    assert_eq!(providers(&within, KEYS[0]).await, [early]);
    assert_eq!(providers(&within, KEYS[1]).await, [] as [String; 0], "it was announced outside of the hours");
    announced(&within, KEYS[1]).await;
}

#[test]
fn the_program_lists_the_plugin_beside_those_of_hydra() {
    let (status, printed, told) = run(&Home::new().unwrap(), &["plugins", "--json"]);
    assert_eq!(status, Some(0), "{told}");
    let all: Value = serde_json::from_str(&printed).unwrap();
    let policies = all.as_array().unwrap().iter().filter(|plugin| plugin["role"] == "admission");
    let kinds: BTreeSet<_> = policies.map(|plugin| plugin["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains("office-hours") && kinds.contains("token-bucket"), "{kinds:?}");
    assert!(all.as_array().unwrap().iter().any(|plugin| plugin["kind"] == "short-keys"), "{all}");
}

#[test]
fn a_mistake_in_its_table_is_told_with_file_line_key_and_advice() {
    let home = Home::new().unwrap();
    for (line, told) in [
        (
            "opens_at_hours = 3",
            "3:1: admission[0].opens_at_hours: unknown key; did you mean `opens_at_hour`?",
        ),
        ("opens_at_hour = 24", "3:17: admission[0].opens_at_hour: 24 is out of bounds; allowed is"),
        (
            "outside = { degrade = 'stal' }",
            "3:23: admission[0].outside.degrade: \"stal\" is not allowed; did you",
        ),
        ("closes_at_hour = 9", "3:18: admission[0].closes_at_hour: it opens at that hour; the whole day is"),
    ] {
        mistake(&home, &format!("[[admission]]\nkind = 'office-hours'\n{line}\n"), told);
    }
}

#[test]
fn a_mistake_in_a_nested_table_is_told_with_file_line_key_and_advice() {
    let home = Home::new().unwrap();
    for (lines, told) in [
        (
            "[store.inner]\nkind = 'memory'\nmib_maxx = 3",
            "5:1: store.inner.mib_maxx: unknown key; did you mean `mib_max`?",
        ),
        (
            "[store.inner]\nkind = 'memory'\nmib_max = 0",
            "5:11: store.inner.mib_max: 0 is out of bounds; allowed is",
        ),
        (
            "inner = { kind = 'memori' }",
            "3:18: store.inner.kind: unknown kind `memori`; did you mean `memory`?",
        ),
        (
            "[store.inner]\nkind = 'short-keys'\n[store.inner.inner]\nkind = 'memory'\nmib = 3",
            "7:1: store.inner.inner.mib: unknown key",
        ),
    ] {
        mistake(&home, &format!("[store]\nkind = 'short-keys'\n{lines}\n"), told);
    }
}

/// Demands that the program refuses this config and tells so.
fn mistake(home: &Home, config: &str, told: &str) {
    std::fs::write(home.path().join("bogus.toml"), config).unwrap();
    let (status, _, error) = run(home, &["check", "--config", "bogus.toml"]);
    assert_eq!(status, Some(2), "{error}");
    assert!(error.starts_with(&format!("error: bogus.toml:{told}")), "{config}: {error}");
}

#[test]
fn the_crate_passes_the_conformance_suite_and_its_own_tests() {
    let (printed, _) = cargo_in_crate("test");
    for test in [
        "office-hours::a3_a_decision_allocates_nothing",
        "short-keys::s1_an_insert_is_idempotent",
        "announcements_are_taken_from_opening_to_closing",
    ] {
        let passed = |line: &str| line.contains(test) && line.ends_with("ok");
        assert!(printed.lines().any(passed), "{test}: {printed}");
    }
}

/// The store of the crate around one of hydra: what it refuses is not found, and what it takes survives a restart.
#[tokio::test]
async fn a_store_around_another_keeps_short_keys_and_refuses_long_ones() {
    let home = Home::new().unwrap();
    let around = |max: usize| {
        let table = format!(
            "[[admission]]\nkind = 'office-hours'\nopens_at_hour = 0\ncloses_at_hour = 24\n\
             [engine.cache]\nmib_max = 0\n\
             [store]\nkind = 'short-keys'\nkey_bytes_max = {max}\n[store.inner]\nkind = 'fjall'\n"
        );
        std::fs::write(home.path().join("node.toml"), table).unwrap();
        let mut command = command(program(), &home, &[]);
        command.args(["--config", "node.toml"]);
        Node::launch(&home, command)
    };
    let all = around(34).await.unwrap();
    let early = announced(&all, KEYS[0]).await;
    assert!(all.stop().await.unwrap().success(), "{}", home.log());

    let none = around(33).await.unwrap();
    rust::provide(none.heads()[0].tcp(), PROTOCOL, KEYS[1]).await.unwrap();
    assert_eq!(providers(&none, KEYS[0]).await, [early.as_str()], "it was kept by the inner store");
    assert!(none.stop().await.unwrap().success(), "{}", home.log());

    let all = around(34).await.unwrap();
    assert_eq!(providers(&all, KEYS[0]).await, [early]);
    assert_eq!(providers(&all, KEYS[1]).await, [] as [String; 0], "it was refused");
    announced(&all, KEYS[1]).await;
}

/// Otherwise its dependencies would be built twice.
#[test]
fn its_lock_file_is_in_step_with_that_of_the_workspace() {
    let packages = |folder: PathBuf| -> BTreeSet<String> {
        let lock = std::fs::read_to_string(folder.join("Cargo.lock")).unwrap();
        // The name and the version of each package.
        let package = |package: &str| package.lines().filter(|line| !line.is_empty()).take(2).collect();
        lock.split("[[package]]").skip(1).map(package).collect()
    };
    let [own, all] = [folder(), cargo::root()].map(packages);
    let ahead: Vec<_> =
        own.difference(&all).filter(|package| !package.contains("\"office-hours\"")).collect();
    assert!(ahead.is_empty() && own.len() > 100, "bring it in step with `just lock`: {ahead:?}");
}

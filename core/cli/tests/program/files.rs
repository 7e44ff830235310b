//! The config files that come with hydra, and what is made from the definitions.

use crate::{Hydra, project, stderr};
use serde_json::Value;
use std::collections::BTreeSet;

const FILES: [&str; 7] = [
    "config/hydra.toml",
    "config/amino.toml",
    "config/private.toml",
    "config/postgres.toml",
    "config/redis.toml",
    "config/redis-cluster.toml",
    "config/tiered.toml",
];

/// Those that need a server: tests that have one run them.
const SERVED: [&str; 4] =
    ["config/postgres.toml", "config/redis.toml", "config/redis-cluster.toml", "config/tiered.toml"];

fn text(file: &str) -> String {
    std::fs::read_to_string(project(file)).unwrap()
}

/// The keys and values that count, without their origins.
fn effective(hydra: &Hydra, args: &[&str]) -> Vec<(String, Value)> {
    let all = hydra.prints_json(&[&["config", "show", "--json"], args].concat());
    let pair = |shown: &Value| (shown["key"].as_str().unwrap().to_owned(), shown["value"].clone());
    all.as_array().unwrap().iter().map(pair).collect()
}

#[test]
fn the_list_of_files_is_complete() {
    let files = std::fs::read_dir(project("config")).unwrap();
    let names = files.map(|file| format!("config/{}", file.unwrap().file_name().into_string().unwrap()));
    let tomls: BTreeSet<_> = names.filter(|name| name.ends_with(".toml")).collect();
    assert_eq!(tomls, BTreeSet::from(FILES.map(str::to_owned)));
}

#[test]
fn the_annotated_file_says_what_is_built_in() {
    let hydra = Hydra::new();
    let file = project(FILES[0]);
    let shown = effective(&hydra, &["--config", file.to_str().unwrap()]);
    let built_in = effective(&hydra, &[]);
    assert_eq!(shown, built_in);
    assert!(shown.len() > 50, "{} keys", shown.len());
}

#[test]
fn every_key_stands_in_the_annotated_file() {
    let hydra = Hydra::new();
    let mut header = String::new();
    let mut there = BTreeSet::new();
    for line in text(FILES[0]).lines() {
        if let Some(table) = line.strip_prefix('[') {
            header = format!("{}.", table.trim_matches(['[', ']']));
            if line.starts_with("[[") {
                let nth = there.iter().filter(|key: &&String| key.ends_with("].kind")).count();
                header = format!("{}[{nth}].", header.trim_end_matches('.'));
            } else if let Some(below) = header.strip_prefix("admission.") {
                let nth = there.iter().filter(|key: &&String| key.ends_with("].kind")).count();
                header = format!("admission[{}].{below}", nth - 1);
            }
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ") {
            there.insert(format!("{header}{key}"));
        }
    }
    let mut missing: Vec<_> =
        effective(&hydra, &[]).into_iter().map(|(key, _)| key).filter(|key| !there.contains(key)).collect();
    // Keys that are optional have no value that could be shown: the schema knows them.
    let schema = hydra.prints_json(&["config", "schema"]);
    for (table, definition) in
        [("engine", "engine"), ("store", "store-fjall"), ("ids", "ids-balanced")].map(|(table, name)| {
            let schema = match name {
                "engine" => schema["$defs"]["Config"].clone(),
                name => schema["$defs"][name].clone(),
            };
            (table, schema)
        })
    {
        let keys = definition["properties"].as_object().unwrap().keys();
        let tables = |key: &str| there.iter().any(|known| known.starts_with(&format!("{table}.{key}.")));
        missing.extend(
            keys.filter(|key| !tables(key))
                .map(|key| format!("{table}.{key}"))
                .filter(|key| !there.contains(key)),
        );
    }
    assert_eq!(missing, [] as [String; 0]);
}

#[test]
fn each_file_is_opened() {
    for file in FILES.into_iter().filter(|file| !SERVED.contains(file)) {
        let hydra = Hydra::new();
        let free = "telemetry.http.listen=127.0.0.1:0";
        let printed = hydra.prints(&["check", "--config", project(file).to_str().unwrap(), "--set", free]);
        let last = printed.lines().last().unwrap_or_default();
        assert!(last == "ok" || last.starts_with("ok, "), "{file}: {printed}");
    }
}

#[test]
fn a_bogus_key_is_refused_in_every_table_of_every_file() {
    let hydra = Hydra::new();
    let mut planted = 0;
    for file in FILES {
        let text = text(file);
        let lines: Vec<_> = text.lines().collect();
        // Before the first line it belongs to no table.
        let headers =
            lines.iter().enumerate().filter(|(_, line)| line.starts_with('[')).map(|(at, _)| at + 1);
        for at in std::iter::once(0).chain(headers) {
            let bogus = [&lines[..at], &["bogus_key = 1"], &lines[at..]].concat().join("\n");
            hydra.file("bogus.toml", &bogus);
            let output = hydra.run(&["check", "--config", "bogus.toml"]);
            let message = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{file}: {message}");
            assert!(message.starts_with(&format!("error: bogus.toml:{}:1: ", at + 1)), "{file}: {message}");
            assert!(message.contains("bogus_key: unknown key"), "{file}: {message}");
            planted += 1;
        }
    }
    assert!(planted >= 20, "only {planted} tables");
}

#[test]
fn the_schema_for_editors_accepts_every_file_and_no_bogus_key() {
    let hydra = Hydra::new();
    let schema = hydra.prints_json(&["config", "schema"]);
    let validator = jsonschema::validator_for(&schema).unwrap();
    for file in FILES {
        let mut value: Value = toml::from_str(&text(file)).unwrap();
        let issues: Vec<_> = validator.iter_errors(&value).map(|issue| issue.to_string()).collect();
        assert_eq!(issues, [] as [String; 0], "{file}");
        value["network"]["bogus_key"] = Value::from(1);
        assert!(!validator.is_valid(&value), "{file}");
    }
    let bogus = serde_json::json!({ "store": { "kind": "fjall", "bogus_key": 1 } });
    assert!(!validator.is_valid(&bogus));
}

/// With `UPDATE_DOCS=1` in the environment the reference is written anew.
#[test]
fn the_reference_is_what_the_definitions_say() {
    let reference = Hydra::new().prints(&["config", "docs"]);
    let path = project("docs/CONFIG.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &reference).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == reference, "docs/CONFIG.md is old: run this test with UPDATE_DOCS=1");
}

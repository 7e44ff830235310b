//! Each command.

use crate::{Hydra, stderr};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Stdio;

const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

#[test]
fn help_and_version_are_no_failure_and_a_wrong_flag_is_one() {
    let hydra = Hydra::new();
    let help = hydra.prints(&["--help"]);
    for word in [
        "Examples:",
        "run",
        "check",
        "config",
        "ids",
        "ask",
        "store",
        "plugins",
        "completions",
        "load",
        "Exit codes",
    ] {
        assert!(help.contains(word), "{word}: {help}");
    }
    assert_eq!(hydra.prints(&["--version"]), format!("hydra {}\n", env!("CARGO_PKG_VERSION")));
    for wrong in [&["--bogus"][..], &["bogus"], &["--set", "heads.count"], &["ids", "--count", "many"]] {
        assert_eq!(hydra.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_wrong_config_exits_with_2_and_a_backend_that_cannot_be_reached_with_3() {
    let hydra = Hydra::new();
    let code = |args: &[&str]| {
        let output = hydra.run(args);
        (output.status.code(), stderr(&output))
    };
    let (status, message) = code(&["check", "--config", "nowhere.toml"]);
    assert_eq!(status, Some(2), "{message}");
    assert!(message.contains("nowhere.toml: cannot read the config file"), "{message}");
    let (status, message) = code(&["check", "--set", "heads.count=0"]);
    assert_eq!(status, Some(2), "{message}");
    assert!(message.starts_with("error: --set heads.count: heads.count: 0 is out of bounds"), "{message}");
    hydra.file("not-a-directory", "");
    let (status, message) = code(&["check", "--data-dir", "not-a-directory"]);
    assert_eq!(status, Some(2), "{message}");
    assert_eq!(message.trim_end(), "error: --data-dir: data_dir: not-a-directory is not a directory");
    let away = ["--set", "store.kind=redis", "--set", "store.hosts=[\"127.0.0.1:1\"]"];
    let (status, message) = code(&[&["check"], &away[..]].concat());
    assert_eq!(status, Some(3), "{message}");
}

#[test]
fn a_missing_secret_names_its_line_and_exits_with_2() {
    let hydra = Hydra::new();
    hydra.file("secret.toml", "[ids]\nkind = 'balanced'\nseed = { file = '/nowhere/seed' }\n");
    let output = hydra.run(&["check", "--config", "secret.toml"]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.starts_with("error: secret.toml:3:8: ids.seed: "), "{message}");
    assert!(message.contains("/nowhere/seed"), "{message}");
}

#[test]
fn more_heads_than_slots_or_ports_are_a_config_error() {
    let hydra = Hydra::new();
    for ids in ["slots_max = 2", "port_base = 65534", "port_base = 60000\nfirst_slot = 5534"] {
        hydra.file("node.toml", &format!("[heads]\ncount = 3\n[ids]\nkind = 'balanced'\n{ids}\n"));
        for command in ["check", "run"] {
            let output = hydra.run(&[command, "--config", "node.toml"]);
            let message = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{command} {ids}: {message}");
            let line = "error: node.toml:2:9: heads.count: 3 heads are configured, and [ids] kind `balanced` has room for 2";
            assert!(message.contains(line), "{command} {ids}: {message}");
        }
    }
}

#[test]
fn show_tells_where_each_value_comes_from() {
    let hydra = Hydra::new();
    hydra.file("node.toml", "[heads]\ncount = 4\n\n[log]\nlevel = 'warn'\n");
    let mut command =
        hydra.command(&["config", "show", "--config", "node.toml", "--log-level", "debug", "--json"]);
    let output = command.env("HYDRA_NETWORK__ADDRESSES", "lan").output().unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shown = |key: &str| all.as_array().unwrap().iter().find(|shown| shown["key"] == key).unwrap().clone();
    let count = shown("heads.count");
    assert_eq!((&count["value"], &count["origin"]["from"]), (&Value::from(4), &Value::from("file")));
    assert_eq!((&count["origin"]["line"], &count["origin"]["column"]), (&Value::from(2), &Value::from(1)));
    assert_eq!(shown("network.addresses")["origin"]["variable"], "HYDRA_NETWORK__ADDRESSES");
    assert_eq!(shown("log.level")["value"], "debug");
    assert_eq!(shown("log.level")["origin"]["flag"], "--log-level");
    assert_eq!(shown("store.kind")["origin"]["from"], "default");
    let lines = hydra.prints(&["config", "show", "--config", "node.toml"]);
    let line = lines.lines().find(|line| line.starts_with("heads.count = 4 ")).unwrap();
    assert!(line.ends_with("# node.toml:2:1"), "{line}");
}

#[test]
fn ids_are_the_same_every_time_and_start_nothing() {
    let hydra = Hydra::new();
    let first = hydra.prints(&["ids", "--count", "4"]);
    assert_eq!(hydra.prints(&["ids", "--count", "4"]), first);
    let heads: Vec<Value> = first.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(heads.len(), 4);
    let peers: BTreeSet<_> = heads.iter().map(|head| head["peer"].as_str().unwrap()).collect();
    assert!(peers.len() == 4 && peers.iter().all(|peer| peer.starts_with("12D3KooW")), "{peers:?}");
    let starts: BTreeSet<_> =
        heads.iter().map(|head| head["kademlia_prefix"].as_str().unwrap()[..2].to_owned()).collect();
    assert_eq!(starts, ["00", "01", "10", "11"].map(str::to_owned).into(), "spread evenly");
    assert!(hydra.prints(&["ids", "--count", "2"]).lines().eq(first.lines().take(2)));
}

#[test]
fn plugins_lists_every_kind_with_its_role() {
    let all = Hydra::new().prints_json(&["plugins", "--json"]);
    let named = |role: &str| -> Vec<_> {
        let of_role = all.as_array().unwrap().iter().filter(|plugin| plugin["role"] == role);
        of_role.map(|plugin| plugin["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(named("store"), ["fjall", "memory", "postgres", "redis", "sled", "tiered"]);
    assert_eq!(named("ids"), ["balanced"]);
    assert_eq!(named("admission"), ["denylist", "fair", "hot-key", "memory", "queue-depth", "token-bucket"]);
    assert_eq!(named("import"), ["hydra-booster-postgres"]);
}

#[test]
fn completions_are_there_for_every_shell() {
    let hydra = Hydra::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = hydra.prints(&["completions", shell]);
        assert!(script.contains("providers") && script.contains("late-after"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let hydra = Hydra::new();
    for args in [&["config", "schema"][..], &["--help"], &["completions", "bash"], &["config", "show"]] {
        let mut child = hydra.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn ask_needs_a_key_and_a_peer() {
    let hydra = Hydra::new();
    let output = hydra.run(&["ask", "providers", CID]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no node runs on ./hydra-data"), "{}", stderr(&output));
    let output = hydra.run(&["ask", "providers", "no-cid"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("`no-cid` is neither a CID nor"), "{}", stderr(&output));
    let output = hydra.run(&["ask", "providers", CID, "--peer", "/ip4/127.0.0.1/tcp/1"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn another_kind_brings_its_own_keys_and_none_of_the_default_kind() {
    let hydra = Hydra::new();
    let all = hydra.prints_json(&[
        "config",
        "show",
        "--json",
        "--set",
        "store.kind=memory",
        "--set",
        "admission=[]",
    ]);
    let shown = all.as_array().unwrap().iter().map(|shown| shown["key"].as_str().unwrap());
    let keys: BTreeSet<_> =
        shown.filter(|key| key.starts_with("store.") || key.starts_with("admission")).collect();
    assert_eq!(keys, ["admission", "store.kind", "store.mib_max", "store.providers_per_key_max"].into());
    let output = hydra.run(&["check", "--set", "store.kind=memory", "--set", "store.cache_mib=8"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("error: --set store.cache_mib: store.cache_mib: unknown key"));
}

/// The keys of the changelog's table that have another name now, each with its value and its new name.
const RENAMED: [(&str, &str, &str); 5] = [
    ("network.announce_interval_s", "60", "network.advertise_interval_s"),
    ("engine.ring_len_max", "8192", "engine.write_queue_len_max"),
    ("engine.ring_mib_max", "16", "engine.write_queue_mib_max"),
    ("engine.short.ring_percent", "50", "engine.short.write_queue_percent"),
    ("engine.stale.ring_percent", "50", "engine.stale.write_queue_percent"),
];

/// The one line that `hydra check` prints about a renamed key.
fn refused(place: &str, key: &str, now: &str) -> String {
    format!("error: {place}: {key}: unknown key; did you mean `{now}`?\n")
}

#[test]
fn a_renamed_key_is_refused_with_its_new_name_by_every_source() {
    let hydra = Hydra::new();
    for (key, value, now) in RENAMED {
        let output = hydra.run(&["check", "--set", &format!("{key}={value}")]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert_eq!(stderr(&output), refused(&format!("--set {key}"), key, now));

        let variable = format!("HYDRA_{}", key.to_uppercase().replace('.', "__"));
        let output = hydra.command(&["config", "check"]).env(&variable, value).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert_eq!(stderr(&output), refused(&format!("environment variable {variable}"), key, now));

        let (table, name) = key.rsplit_once('.').unwrap();
        hydra.file("old.toml", &format!("# An old file.\n[{table}]\n{name} = {value}\n"));
        let output = hydra.run(&["check", "--config", "old.toml"]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert_eq!(stderr(&output), refused("old.toml:3:1", key, now));
    }
}

#[test]
fn a_renamed_table_of_a_policy_is_refused_with_its_new_name() {
    let hydra = Hydra::new();
    let policy = "[[admission]]\nkind = 'queue-depth'\n";
    for (text, line) in [("[admission.ring]\ndegrade_percent = 50\n", "3:12"), ("ring = {}\n", "3:1")] {
        hydra.file("old.toml", &format!("{policy}{text}"));
        let output = hydra.run(&["check", "--config", "old.toml"]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let expected = refused(&format!("old.toml:{line}"), "admission[0].ring", "admission[0].write_queue");
        assert_eq!(stderr(&output), expected);
    }
    let output = hydra.run(&["check", "--set", "admission=[{kind=\"queue-depth\", ring={}}]"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(stderr(&output), refused("--set admission", "admission[0].ring", "admission[0].write_queue"));
}

#[test]
fn every_renamed_key_of_the_changelog_is_known() {
    let changelog = std::fs::read_to_string(crate::project("docs/CHANGELOG.md")).unwrap();
    let rows = changelog.lines().filter_map(|line| line.strip_prefix("| "));
    let keys = rows.flat_map(|row| row.split(" | ").next().unwrap_or_default().split(", "));
    let keys: BTreeSet<_> = keys.map(|key| key.trim_matches('`')).filter(|key| key.contains('.')).collect();
    assert_eq!(keys, RENAMED.map(|(key, ..)| key).into());
}

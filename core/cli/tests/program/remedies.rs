//! Messages that say what to do.

use crate::{Hydra, stderr};
use std::process::Output;

fn failed(output: &Output, code: i32, words: &[&str]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{message}");
    for word in words {
        assert!(message.contains(word), "no {word} in {message}");
    }
}

/// An address of documentation, which no machine has. However many heads fail so: the error is told once.
#[test]
fn an_address_of_another_machine_is_told_with_a_remedy_and_once() {
    let hydra = Hydra::new();
    for count in ["heads.count=1", "heads.count=20"] {
        let args = [
            "run",
            "--set",
            "heads.listen=[\"192.0.2.1\"]",
            "--set",
            "telemetry.http.enabled=false",
            "--set",
            count,
        ];
        let output = hydra.run(&args);
        failed(&output, 1, &["cannot listen on ", "not an address of this machine", "`heads.listen`"]);
        let message = stderr(&output);
        assert_eq!(message.matches("annot listen").count(), 1, "{count}: {message}");
    }
}

#[test]
fn an_empty_variable_of_the_config_file_is_named() {
    let hydra = Hydra::new();
    let output = hydra.command(&["config", "check"]).env("HYDRA_CONFIG", "").output().unwrap();
    failed(&output, 2, &["HYDRA_CONFIG", "is empty"]);
    failed(&hydra.run(&["config", "check", "--config", ""]), 2, &["--config", "is empty"]);
}

/// The file is right for the kind that it names.
#[test]
fn keys_that_are_unknown_as_a_variable_sets_the_kind_name_it() {
    let hydra = Hydra::new();
    hydra.file(
        "a.toml",
        "[store]\nkind = \"fjall\"\ncache_mib = 64\n[[admission]]\nkind = \"fair\"\nbogus = 1\n",
    );
    let args = ["config", "check", "--config", "a.toml"];
    let output = hydra.command(&args).env("HYDRA_STORE__KIND", "memory").output().unwrap();
    failed(
        &output,
        2,
        &["store.cache_mib: unknown key", "`store.kind` is set by environment variable HYDRA_STORE__KIND"],
    );
    assert!(!stderr(&output).contains("admission[0].kind"), "{}", stderr(&output));
    let output = hydra.run(&[&args[..], &["--set", "store.kind=memory"]].concat());
    failed(&output, 2, &["`store.kind` is set by --set store.kind"]);
}

#[test]
fn a_name_without_records_of_providers_is_told_how_its_value_is_found() {
    let hydra = Hydra::new();
    hydra.prints(&["ids"]);
    let memory = ["--set", "store.kind=memory"];
    for (key, hint) in [
        ("k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8", true),
        ("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", false),
    ] {
        let output = hydra.run(&[&["store", "get", key], &memory[..]].concat());
        failed(&output, 1, &["no provider found"]);
        assert_eq!(stderr(&output).contains(&format!("`/ipns/{key}`")), hint, "{}", stderr(&output));
    }
}

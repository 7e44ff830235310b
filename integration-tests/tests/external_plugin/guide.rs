//! `docs/PLUGINS.md`, taken step by step.

use crate::{cargo, folder, succeeds};
use hydra_integration_tests::node::{Home, Node};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files that the guide gives in full, in its order.
const FILES: [&str; 8] = [
    "Cargo.toml",
    "src/config.rs",
    "src/policy.rs",
    "src/short_keys.rs",
    "src/lib.rs",
    "tests/conformance.rs",
    "src/main.rs",
    "node.toml",
];
/// Where the guide has a checkout of hydra: beside the crate.
const CHECKOUT: &str = "path = \"../hydra/";
/// This crate and the one outside of the workspace are the same to cargo, which knows them by name and version: a
/// setting that makes no difference keeps their results apart.
const APART: &str = "\n[profile.dev.package.office-hours]\ndebug = 1\n";

/// What the reader is to do next.
#[derive(Debug)]
enum Step {
    /// Write a file: a heading ends in its path, and the next block is its text.
    File { path: String, text: String },
    /// Run a command; these lines are among what it prints, `…` standing for anything.
    Command { line: String, shows: Vec<String> },
}

fn guide() -> String {
    std::fs::read_to_string(cargo::root().join("docs/PLUGINS.md")).unwrap()
}

fn steps() -> Vec<Step> {
    let guide = guide();
    let (mut steps, mut path) = (Vec::new(), None);
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            path = line.strip_suffix('`').and_then(|line| line.rsplit('`').next()).map(str::to_owned);
        } else if let Some(language) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            if language == "console" {
                steps.extend(block.split(|line| line.is_empty()).flat_map(commands));
            } else if let Some(path) = path.take() {
                steps.push(Step::File { path, text: block.join("\n") + "\n" });
            }
        }
    }
    steps
}

/// The code that is quoted from plugins of hydra, each with the file that the text before it links to last.
fn quotes() -> Vec<(String, String)> {
    let guide = guide();
    let (mut quotes, mut is_file, mut linked) = (Vec::new(), false, None);
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            if language == "rust" && !is_file {
                quotes.push((linked.take().expect("code follows the link to its file"), block.join("\n")));
            }
            is_file = false;
        } else if line.starts_with('#') {
            is_file = line.ends_with('`');
        } else if let Some((_, link)) = line.rsplit_once("](../") {
            linked = link.split_once(')').map(|(path, _)| path.to_owned());
        }
    }
    quotes
}

/// The commands of a block, each with what it shows.
fn commands(block: &[&str]) -> Vec<Step> {
    let mut commands = Vec::new();
    for line in block {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(line), _) => commands.push(Step::Command { line: line.to_owned(), shows: Vec::new() }),
            (None, Some(Step::Command { shows, .. })) => shows.push((*line).to_owned()),
            (None, _) => panic!("{line} is printed by no command"),
        }
    }
    commands
}

/// The manifest with the crates of hydra below `root` instead of those of a checkout.
fn by_path(manifest: &str, root: &Path) -> String {
    assert!(!manifest.contains("git = "), "the guide depends on a repository: {manifest}");
    manifest.replace(CHECKOUT, &format!("path = \"{}/", root.display()))
}

#[test]
fn the_files_of_the_guide_are_those_of_the_crate() {
    let files = steps().into_iter().filter_map(|step| match step {
        Step::File { path, text } => Some((path, text)),
        Step::Command { .. } => None,
    });
    let (paths, texts): (Vec<_>, Vec<_>) = files.unzip();
    assert_eq!(paths, FILES);
    for (path, mut text) in paths.into_iter().zip(texts) {
        if path == "Cargo.toml" {
            text = by_path(&text, Path::new("../..")) + "\n[workspace]\n";
        }
        let file = std::fs::read_to_string(folder().join(&path)).unwrap();
        assert_eq!(text, file, "docs/PLUGINS.md and external-plugin/{path} are the same");
    }
}

#[test]
fn what_the_guide_quotes_is_as_it_says() {
    let quotes = quotes();
    assert_eq!(
        quotes.len(),
        3,
        "the profile of a store, the purpose of a policy and a put of a value record"
    );
    let plain = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    for (path, quote) in quotes {
        let file = std::fs::read_to_string(cargo::root().join(&path)).unwrap();
        assert!(plain(&file).contains(&plain(&quote)), "{path} has no such lines:\n{quote}");
    }
}

#[test]
fn a_misspelt_key_of_a_nested_table_is_refused_as_the_guide_shows() {
    let home = Home::new().unwrap();
    let table = std::fs::read_to_string(folder().join("node.toml")).unwrap() + "sync_interval_m = 500\n";
    write(&home.path().join("node.toml"), &table);
    let (status, _, told) = crate::run(&home, &["check", "--config", "node.toml"]);
    assert_eq!(status, Some(2), "{told}");
    let guide = guide();
    let shown = guide.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(told.starts_with(shown), "{told}");
}

#[tokio::test]
async fn whoever_follows_the_guide_has_a_node_with_a_policy_of_their_own() {
    let home = Home::new().unwrap();
    let profile = std::fs::read_to_string(cargo::root().join("Cargo.toml")).unwrap() + APART;
    write(&home.path().join(".cargo/config.toml"), &profile);
    let (mut dir, mut ready) = (home.path().to_owned(), false);
    for step in steps() {
        match step {
            Step::File { path, text } if path == "Cargo.toml" => {
                write(&dir.join(path), &by_path(&text, &cargo::root()));
                // Whatever is newer by now, the workspace has not built.
                std::fs::copy(folder().join("Cargo.lock"), dir.join("Cargo.lock")).unwrap();
            }
            Step::File { path, text } => write(&dir.join(path), &text),
            Step::Command { line, shows } => match line.strip_prefix("cd ") {
                Some(to) => dir.push(to),
                None if shows.iter().any(|line| line == "ready") => {
                    let node = Node::launch(&home, shell(&line, &dir).into()).await.unwrap();
                    assert!(!node.heads().is_empty());
                    assert!(node.stop().await.unwrap().success(), "{}", home.log());
                    ready = true;
                }
                None => shown(&succeeds(&mut shell(&line, &dir), &line), &shows),
            },
        }
    }
    assert!(ready, "the guide ends with a node");
}

/// The command as a reader types it. The node that it may start is on loopback at free ports.
fn shell(line: &str, dir: &Path) -> Command {
    let (cargo, _) = cargo::cargo("plugins-guide");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec {line}")]).current_dir(dir);
    for (name, value) in cargo.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut path = vec![PathBuf::from(cargo.get_program())];
    path[0].pop();
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    command.env("PATH", std::env::join_paths(path).unwrap());
    command.env("HYDRA_HEADS__LISTEN", "[\"127.0.0.1\"]").env("HYDRA_IDS__PORT_BASE", "0");
    command
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Demands that each line is among those that were printed, however its words are spaced.
fn shown(printed: &str, shows: &[String]) {
    let spaced = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let printed: Vec<_> = printed.lines().map(spaced).collect();
    for line in shows.iter().filter(|line| *line != "…") {
        assert!(
            printed.contains(&spaced(line)),
            "the guide shows {line:?}, and this is printed:\n{printed:#?}"
        );
    }
}

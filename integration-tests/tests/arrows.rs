//! Which crate may depend on which: `docs/ARCHITECTURE.md` says why.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// A crate, or all under a folder, and what of the workspace it may depend on.
struct Rule {
    /// The folder below the root of the workspace.
    folder: &'static str,
    /// Crates, or what the folders of all crates that are meant begin with.
    may: &'static [&'static str],
    /// Those that its tests and measurements may depend on besides.
    tests_may: &'static [&'static str],
    /// Foreign crates that must not be among its dependencies.
    never: &'static [&'static str],
}

const fn rule(folder: &'static str, may: &'static [&'static str]) -> Rule {
    Rule { folder, may, tests_may: &[], never: &[] }
}

/// The first rule whose folder fits counts. A store in memory is what the tests of others take for any store.
const RULES: [Rule; 16] = [
    Rule { never: &["libp2p", "tokio"], ..rule("core/api", &[]) },
    rule("core/kad", &[]),
    Rule { never: &["libp2p", "tokio"], ..rule("core/records", &[]) },
    Rule {
        tests_may: &["hydra-conformance", "hydra-store-memory"],
        never: &["libp2p"],
        ..rule("core/engine", &["hydra-api", "hydra-records"])
    },
    Rule { tests_may: &["hydra-store-memory"], ..rule("core/conformance", &["hydra-api"]) },
    rule("core/load", &["hydra-kad"]),
    Rule {
        tests_may: &["hydra-conformance", "hydra-store-memory"],
        ..rule("core/node", &["hydra-engine", "hydra-kad", "hydra-records", "hydra-api"])
    },
    rule("core/cli", &["hydra-node", "hydra-load", "hydra-bundle", "hydra-api"]),
    rule("plugins/bundle", &["plugins/", "hydra-api"]),
    // It opens other stores by their tables; its tests put real ones into it.
    Rule {
        tests_may: &["hydra-conformance", "plugins/store-"],
        ..rule("plugins/store-tiered", &["hydra-api"])
    },
    // Stores that keep files share what an engine is embedded with, those over a network what they say of servers and peers.
    Rule {
        tests_may: &["hydra-conformance", "hydra-store-memory"],
        ..rule("plugins/store-", &["hydra-api", "hydra-embedded", "hydra-remote"])
    },
    // Policies that count by source or by key share the counters.
    Rule { tests_may: &["hydra-conformance"], ..rule("plugins/admission-", &["hydra-api", "hydra-sketch"]) },
    Rule { tests_may: &["hydra-conformance", "hydra-store-memory"], ..rule("plugins/", &["hydra-api"]) },
    // As a third party's: what its library and its `main` need.
    Rule {
        tests_may: &["hydra-conformance"],
        ..rule("integration-tests/external-plugin", &["hydra-api", "hydra-bundle", "hydra-node"])
    },
    rule("integration-tests/overload", &["core/", "plugins/", "hydra-integration-tests"]),
    rule("integration-tests", &["core/", "plugins/"]),
];

/// A crate of the workspace and its dependencies.
struct Package {
    folder: String,
    /// Name, and whether it is for tests alone.
    dependencies: Vec<(String, bool)>,
}

#[test]
fn no_crate_depends_on_another_against_the_arrows() {
    let mut packages = packages(&metadata("."));
    assert!(packages.len() > 10, "{} crates", packages.len());
    packages.extend(self::packages(&metadata("external-plugin")));
    assert!(packages.contains_key("office-hours"), "the crate outside of the workspace has its rule as well");
    let broken = broken(&packages);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn an_arrow_the_wrong_way_is_found() {
    let package = |folder: &str, on: &str, test| Package {
        folder: folder.to_owned(),
        dependencies: vec![(on.to_owned(), test)],
    };
    let cases = [
        ("core/api", "hydra-engine", false, false),
        ("core/api", "tokio", false, false),
        ("core/engine", "libp2p", false, false),
        ("core/engine", "libp2p", true, false),
        ("core/engine", "tokio", false, true),
        ("core/kad", "hydra-api", false, false),
        ("core/node", "hydra-store-one", false, false),
        ("core/node", "hydra-kad", false, true),
        ("core/load", "hydra-kad", false, true),
        ("core/load", "hydra-engine", false, false),
        ("core/load", "hydra-node", true, false),
        ("core/node", "hydra-load", false, false),
        ("core/cli", "hydra-load", false, true),
        ("plugins/store-two", "hydra-store-one", false, false),
        ("plugins/store-two", "hydra-embedded", false, true),
        ("plugins/store-tiered", "hydra-store-one", false, false),
        ("plugins/store-tiered", "hydra-store-one", true, true),
        ("plugins/ids-two", "hydra-embedded", false, false),
        ("plugins/admission-two", "hydra-sketch", false, true),
        ("plugins/admission-two", "hydra-embedded", false, false),
        ("plugins/store-two", "hydra-sketch", false, false),
        ("plugins/embedded", "hydra-store-one", false, false),
        ("plugins/embedded", "hydra-conformance", true, true),
        ("core/node", "hydra-embedded", false, false),
        ("plugins/store-two", "hydra-conformance", false, false),
        ("plugins/store-two", "hydra-conformance", true, true),
        ("plugins/bundle", "hydra-store-one", false, true),
        ("plugins/bundle", "hydra-node", false, false),
        ("core/unknown", "serde", false, false),
        ("integration-tests", "hydra-engine", false, true),
        ("integration-tests/overload", "hydra-load", false, true),
        ("integration-tests/external-plugin", "hydra-engine", false, false),
        ("integration-tests/external-plugin", "hydra-node", false, true),
        ("integration-tests/external-plugin", "hydra-conformance", false, false),
        ("integration-tests/external-plugin", "hydra-conformance", true, true),
    ];
    for (folder, on, test, allowed) in cases {
        let mut all: BTreeMap<String, Package> = ["api", "engine", "kad", "load", "node", "conformance"]
            .map(|name| (format!("hydra-{name}"), package(&format!("core/{name}"), "serde", false)))
            .into();
        all.insert("hydra-store-one".to_owned(), package("plugins/store-one", "serde", false));
        all.insert("hydra-embedded".to_owned(), package("plugins/embedded", "serde", false));
        all.insert("hydra-sketch".to_owned(), package("plugins/sketch", "serde", false));
        all.insert("hydra-subject".to_owned(), package(folder, on, test));
        assert_eq!(broken(&all).is_empty(), allowed, "{folder} on {on}");
    }
}

fn broken(packages: &BTreeMap<String, Package>) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, package) in packages {
        let Some(rule) = RULES.iter().find(|rule| package.folder.starts_with(rule.folder)) else {
            broken.push(format!("{name} ({}) is in no rule: say what it may depend on", package.folder));
            continue;
        };
        for (on, for_tests) in &package.dependencies {
            let known = packages.get(on).map(|package| package.folder.as_str());
            if !permits(rule, on, known, *for_tests) {
                let (may, never) = (rule.may.join(", "), rule.never.join(", "));
                broken.push(format!(
                    "{name} depends on {on}, against the rule: {} → [{may}]; in tests also [{}]; never [{never}]",
                    rule.folder,
                    rule.tests_may.join(", "),
                ));
            }
        }
    }
    broken
}

fn permits(rule: &Rule, on: &str, folder: Option<&str>, for_tests: bool) -> bool {
    let Some(folder) = folder else { return !rule.never.contains(&on) };
    let mut may = rule.may.iter().chain(rule.tests_may.iter().filter(|_| for_tests));
    may.any(|may| *may == on || (may.contains('/') && folder.starts_with(may)))
}

/// What cargo knows of the workspace of the package in this folder, here.
fn metadata(folder: &str) -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

fn packages(metadata: &Value) -> BTreeMap<String, Package> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().and_then(Path::to_str).expect("a text");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let package = |package: &Value| {
        let manifest = text(&package["manifest_path"]);
        let folder = manifest.trim_start_matches(root).trim_start_matches('/');
        let dependencies = list(&package["dependencies"])
            .iter()
            .map(|dependency| (text(&dependency["name"]), dependency["kind"] == "dev"))
            .collect();
        (
            text(&package["name"]),
            Package { folder: folder.trim_end_matches("/Cargo.toml").to_owned(), dependencies },
        )
    };
    list(&metadata["packages"]).iter().map(package).collect()
}

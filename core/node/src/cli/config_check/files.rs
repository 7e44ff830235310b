//! The files and variables that a config names and that must be there when the node starts.

use crate::config::{Issue, KeyPath, Loaded};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The ends of the keys that name a file: certificates and keys. Seeds and records are made at the first start.
const ENDS: [&str; 3] = ["cert_file", "key_file", "ca_file"];
/// The key of a list of files.
const LIST: &str = "files";

/// What is missing.
pub(super) fn missing(loaded: &Loaded) -> Vec<Issue> {
    let mut issues = Vec::new();
    look(loaded, &KeyPath::root(), loaded.values(), &mut issues);
    issues
}

fn look(loaded: &Loaded, path: &KeyPath, value: &Value, issues: &mut Vec<Issue>) {
    match value {
        Value::Object(table) => {
            if let Some(missing) = of_secret(table) {
                report(loaded, issues, path.clone(), missing);
                return;
            }
            for (key, below) in table {
                let path = path.key(key);
                match below {
                    Value::String(file) if ENDS.iter().any(|end| key.ends_with(end)) => {
                        let file = resolved(loaded, file);
                        report(loaded, issues, path, file_missing(&file));
                    }
                    Value::Array(files) if key == LIST && files.iter().all(Value::is_string) => {
                        for (item, file) in files.iter().enumerate() {
                            let file = resolved(loaded, file.as_str().unwrap_or_default());
                            report(loaded, issues, path.item(item), file_missing(&file));
                        }
                    }
                    below => look(loaded, &path, below, issues),
                }
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(item, below)| look(loaded, &path.item(item), below, issues));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn report(loaded: &Loaded, issues: &mut Vec<Issue>, path: KeyPath, missing: Option<Missing>) {
    issues.extend(missing.map(|Missing { message, help }| loaded.issue(path, message, Some(help))));
}

struct Missing {
    message: String,
    help: String,
}

/// Whether a table is the source of a secret, `{ file = "…" }` or `{ env = "…" }`, and what is missing then.
fn of_secret(table: &Map<String, Value>) -> Option<Option<Missing>> {
    let (key, Value::String(name)) = table.iter().next().filter(|_| table.len() == 1)? else { return None };
    match key.as_str() {
        "file" => Some(file_missing(Path::new(name))),
        "env" => Some(std::env::var_os(name).is_none_or(|value| value.is_empty()).then(|| Missing {
            message: format!("the environment variable {name} is not set"),
            help: "set it for the node, or name a file: `{ file = \"/run/secrets/name\" }`".to_owned(),
        })),
        _ => None,
    }
}

fn file_missing(path: &Path) -> Option<Missing> {
    let shown = path.display();
    let message = match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => format!("{shown} is a directory"),
        Ok(_) => match std::fs::File::open(path) {
            Ok(_) => return None,
            Err(cause) => format!("cannot read {shown}: {cause}"),
        },
        Err(cause) => format!("cannot find {shown}: {cause}"),
    };
    Some(Missing { message, help: "name a file that exists and that this user can read".to_owned() })
}

/// A relative path starts at the data directory.
fn resolved(loaded: &Loaded, file: &str) -> PathBuf {
    loaded.config.data_dir.join(file)
}

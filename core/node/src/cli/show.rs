//! `hydra config`: the effective values, the schema and the reference.

use super::{Failure, Output};
use crate::config::{Loaded, Origin, concealed, reference, schema as whole_schema};
use hydra_api::Registry;
use serde_json::{Value, json};

/// Prints the effective values with their sources, without secrets.
pub(crate) fn show(loaded: &Loaded, json: bool, out: &mut Output) -> Result<(), Failure> {
    let values = loaded.effective();
    if json {
        let list: Vec<Value> = values
            .iter()
            .map(|entry| {
                let value = concealed(&entry.key, &entry.value);
                json!({ "key": entry.key, "value": value, "origin": origin(&entry.origin) })
            })
            .collect();
        return Ok(out.line(Value::Array(list))?);
    }
    let lines: Vec<_> = values
        .iter()
        .map(|entry| (format!("{} = {}", entry.key, concealed(&entry.key, &entry.value)), &entry.origin))
        .collect();
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0).min(60);
    for (line, origin) in lines {
        out.line(format_args!("{line:<width$}  # {origin}"))?;
    }
    Ok(())
}

fn origin(origin: &Origin) -> Value {
    match origin {
        Origin::Default => json!({ "from": "default" }),
        Origin::File(place) => {
            json!({ "from": "file", "file": place.file(), "line": place.line(), "column": place.column() })
        }
        Origin::WholeFile(file) => json!({ "from": "file", "file": file }),
        Origin::Environment(variable) => json!({ "from": "environment", "variable": variable }),
        Origin::Flag(flag) => json!({ "from": "flag", "flag": flag }),
    }
}

/// Prints the JSON schema of the whole config.
pub(crate) fn schema(registry: &Registry, out: &mut Output) -> Result<(), Failure> {
    Ok(out.line(format_args!("{:#}", whole_schema(registry)))?)
}

/// Prints the reference of every key, in Markdown.
pub(crate) fn docs(registry: &Registry, out: &mut Output) -> Result<(), Failure> {
    Ok(out.text(reference(registry))?)
}

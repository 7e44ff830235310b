//! The reference of every key, in Markdown, made from the schemas.

use super::load::core_schema;
use super::words::{alternatives, expected, resolved};
use super::{Config, suggest};
use hydra_api::{Admission, Ids, Registry, Role, Store};
use serde_json::{Value, json};

const HEAD: &str = "\
# Config

Made by `hydra config docs` from the definitions in the code; do not edit it.

A node is told what to do by, each over the ones before: the built-in defaults, a TOML file (`--config`, or the variable
`HYDRA_CONFIG`), the environment, the command line.

- **Environment**: `HYDRA_` and the key in capitals, two underscores between the levels: `HYDRA_HEADS__COUNT=10`. The value
  is TOML, or else text as it stands: `HYDRA_NETWORK__ADDRESSES=lan`, `HYDRA_HEADS__LISTEN='[\"127.0.0.1\"]'`. Lists are given
  whole. The variables `HYDRA_PORT…`, `HYDRA_SERVICE_HOST…` and `HYDRA_SERVICE_PORT…`, which Kubernetes sets for a service
  called hydra, are left alone.
- **Command line**: `--set heads.count=10`, and flags of their own for a few keys (`hydra --help`).
- **Secrets** never stand in the config: it names a file, `{ file = \"/run/secrets/x\" }`, or a variable, `{ env = \"X\" }`.
- **Mistakes** end the start with exit code 2 and a message with file, line, column, key and what would do. `hydra check`
  tries a config out, `hydra config show` tells which value counts and who said so, `hydra config schema` gives editors the
  JSON schema.
";

/// The reference of every key of the core and of every plugin that is known.
pub(crate) fn reference(registry: &Registry) -> String {
    let schema = core_schema();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut text = HEAD.to_owned();
    let mut top = Vec::new();
    let mut tables = Vec::new();
    for (key, property) in entries(&schema, &schema) {
        let table = resolved(&schema, property);
        if [Store::NAME, Ids::NAME, Admission::NAME].contains(&key) {
            continue;
        }
        match table.get("properties") {
            Some(_) => tables.push((key, property)),
            None => top.push((key, property)),
        }
    }
    section(&mut text, "## Top level", None);
    rows(&mut text, &schema, &top, &defaults, "");
    for (key, property) in tables {
        section(&mut text, &format!("## `[{key}]`"), description(&schema, property));
        table(&mut text, &schema, property, &defaults[key]);
    }
    role::<Store>(
        &mut text,
        registry,
        &schema,
        &format!("`[store]`, `{}` unless told otherwise", Config::STORE_KIND),
    );
    role::<Ids>(
        &mut text,
        registry,
        &schema,
        &format!("`[ids]`, `{}` unless told otherwise", Config::IDS_KIND),
    );
    let policies = suggest::listed(&Config::ADMISSION_KINDS);
    role::<Admission>(
        &mut text,
        registry,
        &schema,
        &format!("`[[admission]]`, {policies} unless told otherwise"),
    );
    text
}

fn role<R: Role>(text: &mut String, registry: &Registry, core: &Value, title: &str) {
    section(text, &format!("## {title}"), description(core, &core["properties"][R::NAME]));
    for entry in registry.all::<R>() {
        section(text, &format!("### `kind = \"{}\"`", entry.kind()), Some(entry.summary().to_owned()));
        let schema = entry.schema().to_value();
        // A plugin that has keys without a default shows none.
        let defaults = entry.complete(json!({})).unwrap_or_default();
        match entries(&schema, &schema).is_empty() {
            true => text.push_str("\nIt has no keys of its own.\n"),
            false => table(text, &schema, &schema, &defaults),
        }
    }
}

fn section(text: &mut String, title: &str, description: Option<String>) {
    text.push_str(&format!("\n{title}\n"));
    if let Some(description) = description {
        text.push_str(&format!("\n{}\n", one_line(&description)));
    }
}

fn table(text: &mut String, schema: &Value, at: &Value, defaults: &Value) {
    rows(text, schema, &entries(schema, at), defaults, "");
}

fn rows(text: &mut String, schema: &Value, entries: &[(&str, &Value)], defaults: &Value, prefix: &str) {
    if prefix.is_empty() {
        text.push_str("\n| key | value | default | meaning |\n|---|---|---|---|\n");
    }
    for (key, property) in entries {
        let default = defaults.get(key).unwrap_or(&Value::Null);
        let name = format!("{prefix}{key}");
        let nested = self::entries(schema, property);
        if !nested.is_empty() {
            let meaning = description(schema, property).unwrap_or_default();
            text.push_str(&format!("| `{name}` | a table | | {} |\n", cell(&meaning)));
            rows(text, schema, &nested, default, &format!("{name}."));
            continue;
        }
        let shown = match default {
            Value::Null => "–".to_owned(),
            default => format!("`{}`", toml(default)),
        };
        let meaning = meaning(schema, property);
        let kind = expected(schema, property).unwrap_or_else(|| "a value".to_owned());
        text.push_str(&format!("| `{name}` | {} | {shown} | {} |\n", cell(&kind), cell(&meaning)));
    }
}

/// The key's own words, and what each choice means.
fn meaning(schema: &Value, property: &Value) -> String {
    let mut meaning = description(schema, property).unwrap_or_default();
    if alternatives(schema, property).is_some() {
        for choice in choices(schema, property) {
            let word = choice.get("const").and_then(Value::as_str);
            let words = choice.get("description").and_then(Value::as_str);
            if let (Some(word), Some(words)) = (word, words) {
                meaning.push_str(&format!(" `{word}`: {words}"));
            }
        }
    }
    meaning
}

fn choices<'s>(schema: &'s Value, at: &'s Value) -> &'s [Value] {
    let at = resolved(schema, at);
    at.get("oneOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The keys of a table with their schemas. A choice between tables, as of where a secret is, is one value.
fn entries<'s>(schema: &'s Value, at: &'s Value) -> Vec<(&'s str, &'s Value)> {
    let properties = resolved(schema, at).get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(key, property)| (key.as_str(), property)).collect()
}

fn description(schema: &Value, at: &Value) -> Option<String> {
    let own = at.get("description").or_else(|| resolved(schema, at).get("description"))?;
    Some(own.as_str()?.to_owned())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cell(text: &str) -> String {
    one_line(text).replace('|', "\\|")
}

/// A default as it would stand in the file.
fn toml(value: &Value) -> String {
    match toml::Value::try_from(value) {
        Ok(value) => value.to_string(),
        Err(_) => value.to_string(),
    }
}

//! Checks the tables that select plugins, by the schemas of those.

use super::problem::Problem;
use super::refused::refused;
use super::{lookup, nested, schema, suggest};
use crate::config::path::{KeyPath, Step};
use hydra_api::{Admission, Entry, Ids, OpenError, OpenErrorKind, Registry, Role, Store};
use hydra_engine::PolicyMode;
use serde_json::Value;

/// Checks every table that selects a plugin, and fills in the plugin's defaults.
pub(in crate::config) fn check(registry: &Registry, values: &mut Value, problems: &mut Vec<Problem>) {
    let root = KeyPath::root();
    if let Some(store) = values.get_mut(Store::NAME) {
        plugin_table::<Store>(registry, store, &root.key(Store::NAME), problems);
    }
    if let Some(ids) = values.get_mut(Ids::NAME) {
        plugin_table::<Ids>(registry, ids, &root.key(Ids::NAME), problems);
    }
    let policies = values.get_mut(Admission::NAME).and_then(Value::as_array_mut);
    for (index, policy) in policies.into_iter().flatten().enumerate() {
        plugin_table::<Admission>(registry, policy, &root.key(Admission::NAME).item(index), problems);
    }
}

/// Skips a table without `kind`: the core's schema reports that.
fn plugin_table<R: Role>(registry: &Registry, value: &mut Value, at: &KeyPath, problems: &mut Vec<Problem>) {
    let Some(table) = value.as_object_mut() else { return };
    let Some(kind) = table.get("kind").and_then(Value::as_str).map(str::to_owned) else { return };
    let Some(entry) = registry.find::<R>(&kind) else {
        problems.push(unknown_kind::<R>(registry, &kind, at));
        return;
    };
    let mut settings = table.clone();
    let mut schema = entry.schema().to_value();
    for key in own_keys::<R>() {
        if schema["properties"].get(*key).is_some() {
            problems.push(taken_key(key, &kind, at));
            return;
        }
        settings.remove(*key);
        // With these keys in the schema, the error of a misspelled one suggests them.
        schema["properties"][*key] = Value::Bool(true);
    }
    let settings = Value::Object(settings);
    let found = schema::check(&schema, &settings, at);
    if !found.is_empty() {
        problems.extend(found);
        return;
    }
    match entry.complete(settings.clone()) {
        Ok(mut complete) if complete.is_object() => {
            let mut below = Vec::new();
            nested::each(&schema, &mut complete, at, &mut |path, role, value| {
                nested_table(registry, role, value, path, &mut below);
            });
            if below.is_empty() {
                problems.extend(of_several_keys(entry, settings, at));
            }
            problems.extend(below);
            if let Value::Object(complete) = complete {
                table.extend(complete);
            }
            if R::NAME == Admission::NAME {
                table.entry("mode").or_insert_with(|| PolicyMode::default().as_str().into());
            }
        }
        Ok(_) => {}
        Err(_) => problems.extend(refusals(entry, &schema, settings, at)),
    }
}

/// What the plugin finds in a table whose keys are right each by itself.
fn of_several_keys<R: Role>(entry: &Entry<R>, settings: Value, at: &KeyPath) -> Vec<Problem> {
    let Err(error) = entry.check(settings) else { return Vec::new() };
    let problem = |error: &OpenError| {
        let key = match error.kind() {
            OpenErrorKind::Config { key } => at.join(&KeyPath::of_dotted(key)),
            _ => at.clone(),
        };
        Problem::of_value(key, error.to_string(), None)
    };
    std::iter::once(&error).chain(error.others()).map(problem).collect()
}

/// Why the plugin's own types refuse a table that its schema accepts: each key in turn.
fn refusals<R: Role>(entry: &Entry<R>, schema: &Value, mut settings: Value, at: &KeyPath) -> Vec<Problem> {
    let mut problems = Vec::new();
    while let Err(issue) = entry.complete(settings.clone()) {
        let key = KeyPath::of_dotted(&issue.key);
        let spot = lookup::within(schema, &key);
        let value = lookup::value(&settings, &key).cloned().unwrap_or_default();
        problems.push(refused(at.join(&key), spot.as_ref(), &value, &issue.message));
        let first = key.steps().first().and_then(|step| match step {
            Step::Key(key) => settings.as_object_mut()?.remove(key),
            Step::Item(_) => None,
        });
        if first.is_none() {
            break;
        }
    }
    problems
}

/// Checks a plugin table inside another plugin's table.
fn nested_table(
    registry: &Registry,
    role: &str,
    value: &mut Value,
    at: &KeyPath,
    problems: &mut Vec<Problem>,
) {
    if role == Store::NAME {
        plugin_table::<Store>(registry, value, at, problems);
    } else if role == Admission::NAME {
        plugin_table::<Admission>(registry, value, at, problems);
    } else if role == Ids::NAME {
        plugin_table::<Ids>(registry, value, at, problems);
    }
}

/// The keys of a plugin table that belong to the node; a plugin never sees them.
fn own_keys<R: Role>() -> &'static [&'static str] {
    if R::NAME == Admission::NAME { &["kind", "mode"] } else { &["kind"] }
}

/// The error of a plugin that defines a key of the node.
fn taken_key(key: &str, kind: &str, at: &KeyPath) -> Problem {
    let message = format!("the plugin `{kind}` defines the key `{key}`, which is reserved for the node");
    Problem::of_value(at.key("kind"), message, Some("rename the key in the plugin".to_owned()))
}

fn unknown_kind<R: Role>(registry: &Registry, kind: &str, at: &KeyPath) -> Problem {
    let kinds: Vec<&str> = registry.all::<R>().iter().map(|entry| entry.kind()).collect();
    let list = match kinds.is_empty() {
        true => format!("this program contains no plugin for {}", R::NAME),
        false => format!("known kinds: {}", suggest::listed(&kinds)),
    };
    let help = match suggest::nearest(kind, kinds.iter().copied()) {
        Some(word) => format!("did you mean `{word}`? {list}"),
        None => list,
    };
    Problem::of_value(at.key("kind"), format!("unknown kind `{kind}`"), Some(help))
}

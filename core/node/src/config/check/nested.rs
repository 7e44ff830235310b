//! Plugin tables inside plugin tables: found by the keyword of [`Nested`] in a plugin's schema, at any depth.

use super::words::resolved;
use crate::config::path::KeyPath;
use hydra_api::{Admission, Ids, Nested, Role, Store};
use serde_json::Value;

/// The role of the plugin that a table of this schema selects, if it selects one.
pub(in crate::config) fn role(schema: &Value) -> Option<&str> {
    schema.get(Nested::<Store>::SCHEMA_KEYWORD)?.as_str()
}

/// The name of a role, as a part of the config that can hold its plugins.
pub(in crate::config) fn known(role: &str) -> Option<&'static str> {
    [Store::NAME, Admission::NAME, Ids::NAME].into_iter().find(|name| *name == role)
}

/// Calls `visit` with the path and the role of every plugin table in `value`; `path` is the path of `value`.
pub(in crate::config) fn each(
    schema: &Value,
    value: &mut Value,
    path: &KeyPath,
    visit: &mut impl FnMut(&KeyPath, &'static str, &mut Value),
) {
    walk(schema, schema, value, path, visit);
}

fn walk(
    root: &Value,
    at: &Value,
    value: &mut Value,
    path: &KeyPath,
    visit: &mut impl FnMut(&KeyPath, &'static str, &mut Value),
) {
    let at = resolved(root, at);
    if let Some(role) = role(at).and_then(known) {
        if value.is_object() {
            visit(path, role, value);
        }
        return;
    }
    // The schema of an optional table is a choice between it and null.
    for choice in ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| at.get(key)?.as_array()).flatten()
    {
        walk(root, choice, value, path, visit);
    }
    match value {
        Value::Object(table) => {
            let Some(properties) = at.get("properties").and_then(Value::as_object) else { return };
            for (key, value) in table {
                if let Some(schema) = properties.get(key) {
                    walk(root, schema, value, &path.key(key), visit);
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = at.get("items") else { return };
            for (index, value) in items.iter_mut().enumerate() {
                walk(root, schema, value, &path.item(index), visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

//! The JSON schema of the whole config file: the core's tables and every plugin's.

use crate::config::check::nested;
use crate::config::tables::core_schema;
use hydra_api::{Admission, Ids, Registry, Role, Store};
use hydra_engine::PolicyMode;
use serde_json::{Map, Value, json};

/// The schema of the whole config file, with the plugins of this registry.
pub(crate) fn schema(registry: &Registry) -> Value {
    let mut whole = core_schema();
    let mut definitions = Map::new();
    let store = choice::<Store>(registry, &mut definitions);
    let ids = choice::<Ids>(registry, &mut definitions);
    let policy = choice::<Admission>(registry, &mut definitions);
    for (key, choice) in [(Store::NAME, store), (Ids::NAME, ids)] {
        put(&mut whole, &["properties", key], choice);
    }
    put(&mut whole, &["properties", Admission::NAME, "items"], policy);
    if let Some(defs) = whole.get_mut("$defs").and_then(Value::as_object_mut) {
        defs.extend(definitions);
    }
    whole
}

/// Replaces the schema at `path` with a choice of kinds; keeps its description and default.
fn put(whole: &mut Value, path: &[&str], choice: Value) {
    let mut at = whole;
    for key in path {
        match at.get_mut(*key) {
            Some(below) => at = below,
            None => return,
        }
    }
    let kept = ["description", "default"].map(|key| (key, at.get(key).cloned()));
    *at = choice;
    for (key, value) in kept {
        if let Some(value) = value {
            at[key] = value;
        }
    }
}

fn choice<R: Role>(registry: &Registry, definitions: &mut Map<String, Value>) -> Value {
    let mut kinds = Vec::new();
    for entry in registry.all::<R>() {
        let mut table = entry.schema().to_value();
        let name = format!("{}-{}", R::NAME, entry.kind());
        move_references(&mut table, &name);
        let Some(object) = table.as_object_mut() else { continue };
        object.remove("$schema");
        if let Some(Value::Object(own)) = object.remove("$defs") {
            definitions.extend(own.into_iter().map(|(key, mut value)| {
                open_nested(&mut value, registry);
                (format!("{name}.{key}"), value)
            }));
        }
        let properties = object.entry("properties").or_insert_with(|| json!({}));
        properties
            .as_object_mut()
            .into_iter()
            .flatten()
            .for_each(|(_, property)| open_nested(property, registry));
        properties["kind"] = json!({ "const": entry.kind(), "description": entry.summary() });
        if R::NAME == Admission::NAME {
            properties["mode"] = mode();
        }
        definitions.insert(name.clone(), table);
        kinds.push(json!({ "$ref": format!("#/$defs/{name}") }));
    }
    json!({ "anyOf": kinds, "required": ["kind"] })
}

/// Lets a plugin table inside another accept every plugin of its role.
fn open_nested(schema: &mut Value, registry: &Registry) {
    if let Some(role) = nested::role(schema).and_then(nested::known) {
        let kinds: Vec<&str> = match role {
            Store::NAME => registry.all::<Store>().iter().map(|entry| entry.kind()).collect(),
            Admission::NAME => registry.all::<Admission>().iter().map(|entry| entry.kind()).collect(),
            _ => registry.all::<Ids>().iter().map(|entry| entry.kind()).collect(),
        };
        let choices: Vec<Value> =
            kinds.iter().map(|kind| json!({ "$ref": format!("#/$defs/{role}-{kind}") })).collect();
        let kept = schema.get("description").cloned();
        *schema = json!({ "anyOf": choices, "required": ["kind"] });
        if let Some(description) = kept {
            schema["description"] = description;
        }
        return;
    }
    match schema {
        Value::Object(object) => object.values_mut().for_each(|value| open_nested(value, registry)),
        Value::Array(items) => items.iter_mut().for_each(|item| open_nested(item, registry)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The schema of the node's key in every policy table.
fn mode() -> Value {
    let mut mode = schemars::schema_for!(PolicyMode).to_value();
    if let Some(mode) = mode.as_object_mut() {
        mode.remove("$schema");
    }
    mode
}

/// Prefixes the definitions of a plugin with its name, so that those of two plugins do not collide.
fn move_references(value: &mut Value, name: &str) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(target) if key == "$ref" => {
                        if let Some(own) = target.strip_prefix("#/$defs/") {
                            *target = format!("#/$defs/{name}.{own}");
                        }
                    }
                    value => move_references(value, name),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| move_references(item, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

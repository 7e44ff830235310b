//! The schema of a key, in the core's tables and in those of plugins.

use super::nested;
use super::words::{properties, resolved};
use crate::config::path::{KeyPath, Step};
use hydra_api::{Admission, Ids, Registry, Role, Store};
use serde_json::Value;

/// A schema, and the place in it of a key.
#[derive(Debug)]
pub(in crate::config) struct Spot {
    pub(in crate::config) schema: Value,
    pub(in crate::config) at: Value,
}

/// The schema of the key at `path`; `values` say which plugins are selected.
pub(in crate::config) fn spot(
    registry: &Registry,
    core: &Value,
    values: &Value,
    path: &KeyPath,
) -> Option<Spot> {
    let mut spot = Spot { schema: core.clone(), at: core.clone() };
    let mut value = Some(values);
    for (depth, step) in path.steps().iter().enumerate() {
        let found = below(&spot.schema, &spot.at, step).cloned();
        spot = match found {
            Some(at) => Spot { at, ..spot },
            None => {
                let role = role_at(path.steps().get(..depth)?, &spot)?;
                let schema = plugin(registry, role, value?.get("kind")?.as_str()?)?;
                let at = below(&schema, &schema, step)?.clone();
                Spot { at, schema }
            }
        };
        value = value.and_then(|value| value_below(value, step));
    }
    Some(spot)
}

/// The schema of the key at `path` in a plugin's table.
pub(in crate::config) fn within(schema: &Value, path: &KeyPath) -> Option<Spot> {
    let at = path.steps().iter().try_fold(schema, |at, step| below(schema, at, step))?.clone();
    Some(Spot { schema: schema.clone(), at })
}

/// The value at `path`.
pub(in crate::config) fn value<'v>(values: &'v Value, path: &KeyPath) -> Option<&'v Value> {
    path.steps().iter().try_fold(values, value_below)
}

/// All keys that hold values, with the plugins that `values` select. Lists are one key.
pub(in crate::config) fn keys(registry: &Registry, core: &Value, values: &Value) -> Vec<KeyPath> {
    let mut all = Vec::new();
    collect(core, core, &KeyPath::root(), &mut all);
    for role in [Store::NAME, Ids::NAME] {
        let kind = values.get(role).and_then(|table| table.get("kind")?.as_str());
        if let Some(schema) = kind.and_then(|kind| plugin(registry, role, kind)) {
            collect(&schema, &schema, &KeyPath::root().key(role), &mut all);
        }
    }
    all
}

fn collect(schema: &Value, at: &Value, path: &KeyPath, all: &mut Vec<KeyPath>) {
    let keys = properties(schema, at);
    if keys.is_empty() {
        all.push(path.clone());
    }
    for key in keys {
        if let Some(at) = below(schema, at, &Step::Key(key.to_owned())) {
            collect(schema, at, &path.key(key), all);
        }
    }
}

fn value_below<'v>(value: &'v Value, step: &Step) -> Option<&'v Value> {
    match step {
        Step::Key(key) => value.get(key),
        Step::Item(item) => value.get(item),
    }
}

/// The schema one step below `at`.
fn below<'s>(schema: &'s Value, at: &'s Value, step: &Step) -> Option<&'s Value> {
    let at = resolved(schema, at);
    let own = match step {
        Step::Key(key) => at
            .get("properties")
            .and_then(|keys| keys.get(key))
            .or_else(|| at.get("additionalProperties").filter(|below| below.is_object())),
        Step::Item(_) => at.get("items"),
    };
    let choices =
        ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|word| at.get(word)?.as_array()).flatten();
    own.or_else(|| choices.into_iter().find_map(|choice| below(schema, choice, step)))
}

/// The role of the plugin that the table at these steps selects.
fn role_at(steps: &[Step], spot: &Spot) -> Option<&'static str> {
    match steps {
        [Step::Key(key)] if key == Store::NAME => Some(Store::NAME),
        [Step::Key(key)] if key == Ids::NAME => Some(Ids::NAME),
        [Step::Key(key), Step::Item(_)] if key == Admission::NAME => Some(Admission::NAME),
        _ => nested_role(&spot.schema, &spot.at),
    }
}

fn nested_role(schema: &Value, at: &Value) -> Option<&'static str> {
    let at = resolved(schema, at);
    let choices =
        ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|word| at.get(word)?.as_array()).flatten();
    let own = nested::role(at).and_then(nested::known);
    own.or_else(|| choices.into_iter().find_map(|choice| nested_role(schema, choice)))
}

fn plugin(registry: &Registry, role: &str, kind: &str) -> Option<Value> {
    fn of<R: Role>(registry: &Registry, kind: &str) -> Option<Value> {
        registry.find::<R>(kind).map(|entry| entry.schema().to_value())
    }
    if role == Store::NAME {
        of::<Store>(registry, kind)
    } else if role == Admission::NAME {
        of::<Admission>(registry, kind)
    } else {
        of::<Ids>(registry, kind)
    }
}

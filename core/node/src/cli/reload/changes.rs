//! What differs between two configs.

use crate::config::{KeyPath, Step};
use hydra_api::{Admission, Role};
use serde_json::Value;

/// The keys whose values differ. A list of another length differs as a whole.
pub(super) fn changed(now: &Value, wanted: &Value) -> Vec<KeyPath> {
    let mut keys = Vec::new();
    compare(&KeyPath::root(), now, wanted, &mut keys);
    keys
}

fn compare(at: &KeyPath, now: &Value, wanted: &Value, keys: &mut Vec<KeyPath>) {
    match (now, wanted) {
        (Value::Object(now), Value::Object(wanted)) => {
            let added = wanted.keys().filter(|key| !now.contains_key(*key));
            for key in now.keys().chain(added) {
                let of = |table: &serde_json::Map<String, Value>| table.get(key).cloned().unwrap_or_default();
                compare(&at.key(key), &of(now), &of(wanted), keys);
            }
        }
        (Value::Array(now), Value::Array(wanted))
            if now.len() == wanted.len() && now.iter().any(Value::is_object) =>
        {
            for (item, (now, wanted)) in now.iter().zip(wanted).enumerate() {
                compare(&at.item(item), now, wanted, keys);
            }
        }
        (now, wanted) if now != wanted => keys.push(at.clone()),
        _ => {}
    }
}

/// Whether both have policies of the same kinds in the same order, so that a table at a place is for the policy at that place.
pub(super) fn have_same_policies(now: &Value, wanted: &Value) -> bool {
    let kinds = |values: &Value| -> Vec<Value> {
        let policies = values.get(Admission::NAME).and_then(Value::as_array);
        policies.into_iter().flatten().map(|policy| policy.get("kind").cloned().unwrap_or_default()).collect()
    };
    kinds(now) == kinds(wanted)
}

/// The values of `wanted`, with those of `now` for these keys.
pub(super) fn kept(wanted: &Value, now: &Value, keys: &[KeyPath]) -> Value {
    let mut values = wanted.clone();
    for key in keys {
        put(&mut values, key, find(now, key).cloned());
    }
    values
}

/// The table of the plugin at `at`, as it opens the plugin.
pub(super) fn table_at(values: &Value, at: &KeyPath) -> Option<Value> {
    let mut table = find(values, at)?.as_object()?.clone();
    table.remove("kind");
    if matches!(at.steps().last(), Some(Step::Item(_))) {
        table.remove("mode");
    }
    Some(Value::Object(table))
}

fn find<'v>(values: &'v Value, at: &KeyPath) -> Option<&'v Value> {
    at.steps().iter().try_fold(values, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Item(item) => value.get(*item),
    })
}

fn put(values: &mut Value, at: &KeyPath, value: Option<Value>) {
    let Some((last, above)) = at.steps().split_last() else { return };
    let parent = above.iter().try_fold(values, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Item(item) => value.get_mut(*item),
    });
    match (parent, last, value) {
        (Some(Value::Object(table)), Step::Key(key), Some(value)) => drop(table.insert(key.clone(), value)),
        (Some(Value::Object(table)), Step::Key(key), None) => drop(table.remove(key)),
        (Some(Value::Array(items)), Step::Item(item), Some(value)) => {
            if let Some(place) = items.get_mut(*item) {
                *place = value;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_that_differ_are_named_and_can_be_put_back() {
        let now = json!({ "a": 1, "list": [{ "kind": "x", "b": 2, "c": null }], "rest": [1] });
        let wanted =
            json!({ "a": 1, "list": [{ "kind": "x", "b": 3, "c": 4 }], "rest": [1, 2], "new": true });
        let keys = changed(&now, &wanted);
        let names: Vec<_> = keys.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["list[0].b", "list[0].c", "rest", "new"]);
        assert_eq!(kept(&wanted, &now, &keys), now);
        assert_eq!(changed(&now, &now), []);
        assert_eq!(table_at(&now, &KeyPath::of_dotted("list[0]")), Some(json!({ "b": 2, "c": null })));
    }

    #[test]
    fn a_list_of_another_length_differs_as_a_whole() {
        let (now, wanted) = (json!({ "list": [{ "a": 1 }] }), json!({ "list": [{ "a": 2 }, { "a": 1 }] }));
        assert_eq!(changed(&now, &wanted), [KeyPath::root().key("list")]);
    }
}

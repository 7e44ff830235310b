//! Describes schemas and values.

use super::suggest;
use crate::config::secrets::concealed;
use crate::config::unfit;
use serde_json::Value;

/// `at`, or the target of its `$ref`.
pub(in crate::config) fn resolved<'s>(schema: &'s Value, at: &'s Value) -> &'s Value {
    let target = at.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#'));
    target.and_then(|pointer| schema.pointer(pointer)).unwrap_or(at)
}

pub(in crate::config) fn properties<'s>(schema: &'s Value, at: &'s Value) -> Vec<&'s str> {
    let properties = resolved(schema, at).get("properties").and_then(Value::as_object);
    properties.map(|keys| keys.keys().map(String::as_str).collect()).unwrap_or_default()
}

pub(in crate::config) fn strings(values: &[Value]) -> Vec<&str> {
    values.iter().filter_map(Value::as_str).collect()
}

/// The words of a schema that is a choice of constants, as a documented enum is.
pub(in crate::config) fn alternatives<'s>(schema: &'s Value, at: &'s Value) -> Option<Vec<&'s str>> {
    let at = resolved(schema, at);
    if let Some(options) = at.get("enum").and_then(Value::as_array) {
        return Some(strings(options));
    }
    let mut words = Vec::new();
    for choice in at.get("oneOf").or_else(|| at.get("anyOf"))?.as_array()? {
        let choice = resolved(schema, choice);
        match (choice.get("const"), choice.get("type").and_then(Value::as_str)) {
            (Some(word), _) => words.push(word.as_str()?),
            (None, Some("null")) => {}
            (None, _) => words.extend(alternatives(schema, choice)?),
        }
    }
    Some(words)
}

pub(in crate::config) fn description(at: &Value) -> Option<String> {
    Some(at.get("description")?.as_str()?.to_owned())
}

/// The keyword of a schema for text that says what the text is: `an IP address and a port`.
pub(in crate::config) const FORM: &str = "x-hydra-form";

/// Describes the values that a schema accepts, with an example: `a whole number from 1 to 10000, such as `3``.
pub(in crate::config) fn wanted(schema: &Value, at: &Value) -> Option<String> {
    let expected = expected(schema, at)?;
    Some(match example(schema, at) {
        Some(example) => format!("{expected}, such as `{example}`"),
        None => expected,
    })
}

/// A value that the schema accepts, in TOML: an example of its own, the default, or the least number. None for words and
/// tables, which [`expected`] lists.
fn example(schema: &Value, at: &Value) -> Option<String> {
    let target = resolved(schema, at);
    if alternatives(schema, at).is_some() || target.get("type").is_some_and(|kind| kind == "boolean") {
        return None;
    }
    let own = [at, target].into_iter().find_map(|at| at.get("examples")?.as_array()?.first());
    let default = || at.get("default").filter(|value| is_telling(value));
    let least = || target.get("minimum");
    if let Some(value) = own.or_else(default).or_else(least) {
        return Some(value.to_string());
    }
    Some(format!("[{}]", example(schema, target.get("items")?)?))
}

fn is_telling(value: &Value) -> bool {
    match value {
        Value::Null | Value::Object(_) => false,
        Value::Array(items) => !items.is_empty() && !items.iter().any(Value::is_object),
        Value::String(text) => !text.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// True if the schema accepts text and nothing else.
pub(in crate::config) fn is_text(schema: &Value, at: &Value) -> bool {
    let at = resolved(schema, at);
    let choices = at.get("anyOf").or_else(|| at.get("oneOf")).and_then(Value::as_array);
    if let Some(choices) = choices {
        let mut choices =
            choices.iter().filter(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        return choices.all(|choice| is_text(schema, choice));
    }
    if let Some(word) = at.get("const") {
        return word.is_string();
    }
    match at.get("type") {
        Some(Value::String(kind)) => kind == "string",
        Some(Value::Array(kinds)) => kinds.iter().all(|kind| kind == "string" || kind == "null"),
        _ => false,
    }
}

/// A value as messages show it. Where a table is wanted, only its type: it may be a secret in the wrong place.
pub(in crate::config) fn came(schema: &Value, at: &Value, key: &str, value: &Value) -> String {
    fn wants_table(schema: &Value, at: &Value) -> bool {
        let at = resolved(schema, at);
        let choices = ["anyOf", "oneOf"].into_iter().filter_map(|word| at.get(word)?.as_array()).flatten();
        at.get("type").is_some_and(|kind| kind == "object")
            || choices.into_iter().any(|choice| wants_table(schema, choice))
    }
    match value {
        Value::String(_) | Value::Number(_) if wants_table(schema, at) => type_name(value).to_owned(),
        value => shown(key, value),
    }
}

/// Describes the values that a schema accepts: `a whole number from 1 to 10000`.
pub(in crate::config) fn expected(schema: &Value, at: &Value) -> Option<String> {
    let at = resolved(schema, at);
    if let Some(words) = alternatives(schema, at) {
        return Some(format!("one of {}", suggest::listed(&words)));
    }
    if let Some(choices) = at.get("anyOf").or_else(|| at.get("oneOf")).and_then(Value::as_array) {
        let mut words: Vec<_> = choices.iter().filter_map(|choice| expected(schema, choice)).collect();
        words.dedup();
        return (!words.is_empty()).then(|| words.join(" or "));
    }
    if let Some(word) = at.get("const") {
        return Some(format!("`{word}`"));
    }
    let kind = match at.get("type")? {
        Value::String(kind) => kind.as_str(),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null")?,
        _ => return None,
    };
    Some(match kind {
        "integer" => format!("a whole number{}", range(at, "minimum", "maximum", "")),
        "number" => format!("a number{}", range(at, "minimum", "maximum", "")),
        "string" => match at.get(FORM).and_then(Value::as_str) {
            Some(form) => form.to_owned(),
            None => format!("text in quotes{}", range(at, "minLength", "maxLength", " characters")),
        },
        "boolean" => "`true` or `false`".to_owned(),
        "array" => {
            let items = at.get("items").and_then(|items| expected(schema, items));
            let each = items.map(|items| format!(", each {items}")).unwrap_or_default();
            format!("a list{}{each}", range(at, "minItems", "maxItems", " items"))
        }
        "object" => table(at),
        "null" => return None,
        other => other.to_owned(),
    })
}

/// Describes a table with its required keys.
fn table(at: &Value) -> String {
    match at.get("required").and_then(Value::as_array).map(|keys| strings(keys)) {
        Some(keys) if !keys.is_empty() => {
            let keys: Vec<_> = keys.iter().map(|key| format!("{key} = …")).collect();
            format!("a table `{{ {} }}`", keys.join(", "))
        }
        _ => "a table".to_owned(),
    }
}

fn range(at: &Value, min: &str, max: &str, unit: &str) -> String {
    let one = |bound: &Value| if bound == 1 { unit.trim_end_matches('s') } else { unit };
    let min = at.get(min).filter(|min| unit.is_empty() || min.as_u64() != Some(0));
    match (min, at.get(max)) {
        (Some(min), Some(max)) => format!(" from {min} to {max}{unit}"),
        (Some(min), None) => format!(" of at least {min}{}", one(min)),
        (None, Some(max)) => format!(" of at most {max}{}", one(max)),
        (None, None) => String::new(),
    }
}

pub(in crate::config) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "an empty value",
        Value::Bool(_) => "`true` or `false`",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

/// The value of a key in TOML, without secrets, cut if it is long.
pub(in crate::config) fn shown(key: &str, value: &Value) -> String {
    const SHOWN_MAX: usize = 60;
    if let Some(text) = unfit::text(value) {
        return text.to_owned();
    }
    match value {
        Value::Object(_) => "a table".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => {
            let text = concealed(key, other).to_string();
            match text.char_indices().nth(SHOWN_MAX) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text,
            }
        }
    }
}

//! Checks a table against the JSON schema of its struct.

use super::document::Part;
use super::path::KeyPath;
use super::secrets::concealed;
use super::suggest;
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

/// What is wrong with a value, before it is known where the value came from.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) path: KeyPath,
    pub(crate) part: Part,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Problem {
    pub(crate) fn of_value(path: KeyPath, message: impl Into<String>, help: Option<String>) -> Self {
        Self { path, part: Part::Value, message: message.into(), help }
    }
}

/// Everything about `value` that `schema` forbids. `at` is where the value stands in the config.
pub(crate) fn check(schema: &Value, value: &Value, at: &KeyPath) -> Vec<Problem> {
    let validator = match Validator::new(schema) {
        Ok(validator) => validator,
        Err(cause) => {
            return vec![Problem::of_value(at.clone(), format!("its schema is no schema: {cause}"), None)];
        }
    };
    let mut problems = Vec::new();
    for error in validator.iter_errors(value) {
        explain(schema, value, &error, at, &mut problems);
    }
    problems
}

/// Puts one error of the validator into words.
fn explain(schema: &Value, root: &Value, error: &ValidationError<'_>, at: &KeyPath, into: &mut Vec<Problem>) {
    let path = at.join(&KeyPath::of_pointer(error.instance_path().as_str()));
    let around = enclosing(schema, error.schema_path().as_str());
    let given = || root.pointer(error.instance_path().as_str()).map(shown).unwrap_or_default();
    let expected = || around.and_then(|around| expected(schema, around));
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let known = around.map(|around| properties(schema, around)).unwrap_or_default();
            into.extend(unexpected.iter().map(|key| unknown_key(&path, key, &known)));
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            if let Some(allowed) = around.and_then(|around| alternatives(schema, around)) {
                into.push(not_allowed(path, &given(), &allowed));
            } else if let Some(branch) = nearest_branch(context, error.instance_path().as_str()) {
                branch.iter().for_each(|error| explain(schema, root, error, at, into));
            } else {
                // The value itself is not shown: it may be a secret in the wrong place.
                let message = format!("{} does not fit here", root_type(root, error));
                into.push(Problem::of_value(
                    path,
                    message,
                    expected().map(|what| format!("expected {what}")),
                ));
            }
        }
        Kind::Enum { options } => {
            let allowed = options.as_array().map(|options| strings(options)).unwrap_or_default();
            into.push(not_allowed(path, &given(), &allowed));
        }
        Kind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            let help = Some(format!("`{key} = …` belongs here"));
            into.push(Problem {
                path,
                part: Part::Key,
                message: format!("the key `{key}` is missing"),
                help,
            });
        }
        Kind::Type { .. } => {
            // The value itself is not shown: it may be a secret in the wrong place.
            let message = format!("{} is of the wrong type here", root_type(root, error));
            into.push(Problem::of_value(path, message, expected().map(|what| format!("expected {what}"))));
        }
        Kind::Minimum { .. }
        | Kind::Maximum { .. }
        | Kind::ExclusiveMinimum { .. }
        | Kind::ExclusiveMaximum { .. } => {
            let message = format!("{} is out of bounds", given());
            into.push(Problem::of_value(path, message, expected().map(|what| format!("allowed is {what}"))));
        }
        Kind::MinItems { .. } | Kind::MaxItems { .. } | Kind::MinLength { .. } | Kind::MaxLength { .. } => {
            let message = format!("{} has the wrong length", given());
            into.push(Problem::of_value(path, message, expected().map(|what| format!("allowed is {what}"))));
        }
        Kind::Pattern { pattern } => {
            let message = format!("{} does not match the pattern {pattern}", given());
            into.push(Problem::of_value(path, message, around.and_then(description)));
        }
        _ => into.push(Problem::of_value(path, error.to_string(), around.and_then(description))),
    }
}

fn unknown_key(table: &KeyPath, key: &str, known: &[&str]) -> Problem {
    Problem {
        path: table.key(key),
        part: Part::Key,
        message: "unknown key".to_owned(),
        help: suggest::advice(key, known),
    }
}

fn not_allowed(path: KeyPath, given: &str, allowed: &[&str]) -> Problem {
    let list = format!("allowed: {}", suggest::listed(allowed));
    let help = match suggest::nearest(given.trim_matches('"'), allowed.iter().copied()) {
        Some(word) => format!("did you mean `{word}`? {list}"),
        None => list,
    };
    Problem::of_value(path, format!("{given} is not allowed"), Some(help))
}

/// The schema that the last step of `pointer` is a keyword of.
fn enclosing<'s>(schema: &'s Value, pointer: &str) -> Option<&'s Value> {
    let (above, _) = pointer.rsplit_once('/')?;
    schema.pointer(above)
}

/// `at`, or what its `$ref` shows.
pub(crate) fn resolved<'s>(schema: &'s Value, at: &'s Value) -> &'s Value {
    let target = at.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#'));
    target.and_then(|pointer| schema.pointer(pointer)).unwrap_or(at)
}

fn properties<'s>(schema: &'s Value, at: &'s Value) -> Vec<&'s str> {
    let properties = resolved(schema, at).get("properties").and_then(Value::as_object);
    properties.map(|keys| keys.keys().map(String::as_str).collect()).unwrap_or_default()
}

fn strings(values: &[Value]) -> Vec<&str> {
    values.iter().filter_map(Value::as_str).collect()
}

/// The words of a schema that is a choice of constants, as a documented enum is.
pub(crate) fn alternatives<'s>(schema: &'s Value, at: &'s Value) -> Option<Vec<&'s str>> {
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

/// The branch of a choice that the value fits but for something below it; `None` when it fits none that far.
fn nearest_branch<'e>(
    context: &'e [Vec<ValidationError<'static>>],
    at: &str,
) -> Option<&'e Vec<ValidationError<'static>>> {
    let below = |error: &ValidationError<'_>| {
        error.instance_path().as_str().len() > at.len()
            || matches!(error.kind(), Kind::AdditionalProperties { .. } | Kind::Required { .. })
    };
    let of_type = |error: &ValidationError<'_>| matches!(error.kind(), Kind::Type { .. });
    let null = |branch: &[ValidationError<'_>]| branch.iter().any(of_type) && !branch.iter().any(below);
    let mut fitting = context.iter().filter(|branch| !branch.is_empty() && !null(branch));
    let branch = fitting.next().filter(|branch| branch.iter().any(below))?;
    // Two tables that both fit are no better than none.
    fitting.next().is_none().then_some(branch)
}

/// What the value that an error is about is.
fn root_type(root: &Value, error: &ValidationError<'_>) -> &'static str {
    root.pointer(error.instance_path().as_str()).map(type_name).unwrap_or_default()
}

fn description(at: &Value) -> Option<String> {
    Some(at.get("description")?.as_str()?.to_owned())
}

/// What a schema accepts, in words: `a whole number from 1 to 10000`.
pub(crate) fn expected(schema: &Value, at: &Value) -> Option<String> {
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
        "string" => format!("text in quotes{}", range(at, "minLength", "maxLength", " characters")),
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

/// A table, and if it must have keys, which.
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
    let min = at.get(min).filter(|min| unit.is_empty() || min.as_u64() != Some(0));
    match (min, at.get(max)) {
        (Some(min), Some(max)) => format!(" from {min} to {max}{unit}"),
        (Some(min), None) => format!(" of at least {min}{unit}"),
        (None, Some(max)) => format!(" of at most {max}{unit}"),
        (None, None) => String::new(),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "`true` or `false`",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

/// A value as it would stand in a file, cut when long.
fn shown(value: &Value) -> String {
    const SHOWN_MAX: usize = 60;
    match value {
        Value::Object(_) => "a table".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => {
            let text = concealed("", other).to_string();
            match text.char_indices().nth(SHOWN_MAX) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text,
            }
        }
    }
}

//! Checks a table against the JSON schema of its struct.

use super::problem::{Fault, Problem};
use super::suggest;
use super::words::{alternatives, came, description, properties, resolved, strings, wanted};
use crate::config::path::KeyPath;
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

/// Returns every violation of `schema` by `value`. `at` is the path of the value in the config.
pub(in crate::config) fn check(schema: &Value, value: &Value, at: &KeyPath) -> Vec<Problem> {
    let validator = match Validator::new(schema) {
        Ok(validator) => validator,
        Err(cause) => {
            return vec![Problem::of_value(
                at.clone(),
                format!("the schema of this table is invalid: {cause}"),
                None,
            )];
        }
    };
    let mut problems = Vec::new();
    for error in validator.iter_errors(value) {
        explain(schema, value, &error, at, &mut problems);
    }
    problems
}

/// Converts one error of the validator to problems.
fn explain(schema: &Value, root: &Value, error: &ValidationError<'_>, at: &KeyPath, into: &mut Vec<Problem>) {
    let path = at.join(&KeyPath::of_pointer(error.instance_path().as_str()));
    let around = enclosing(schema, error.schema_path().as_str());
    let value = root.pointer(error.instance_path().as_str()).unwrap_or(&Value::Null);
    let key = path.to_string();
    let given = || came(schema, around.unwrap_or(&Value::Null), &key, value);
    let with = |word: &str| around.and_then(|around| Some(format!("{word} {}", wanted(schema, around)?)));
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
            } else if let Some(problems) =
                around.and_then(|around| keys_of_choice(schema, around, value, &path))
            {
                into.extend(problems);
            } else {
                into.push(not_accepted(path, value, given(), with("expected")));
            }
        }
        Kind::OneOfMultipleValid { .. } => into.push(not_accepted(path, value, given(), with("expected"))),
        Kind::Enum { options } => {
            let allowed = options.as_array().map(|options| strings(options)).unwrap_or_default();
            into.push(not_allowed(path, &given(), &allowed));
        }
        Kind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            let example = around.and_then(|around| wanted(schema, properties_of(schema, around)?.get(key)?));
            let help = match example {
                Some(example) => format!("add `{key} = …`, {example}"),
                None => format!("add `{key} = …`"),
            };
            let message = format!("the key `{key}` is missing");
            into.push(Problem::of_key(path, Fault::MissingKey, message, Some(help)));
        }
        Kind::Type { .. } => into.push(not_accepted(path, value, given(), with("expected"))),
        Kind::Minimum { .. }
        | Kind::Maximum { .. }
        | Kind::ExclusiveMinimum { .. }
        | Kind::ExclusiveMaximum { .. } => {
            let message = format!("{} is out of bounds", given());
            into.push(Problem::of_value(path, message, with("allowed is")));
        }
        Kind::MinItems { .. } | Kind::MaxItems { .. } | Kind::MinLength { .. } | Kind::MaxLength { .. } => {
            let message = format!("{} has the wrong length", given());
            into.push(Problem::of_value(path, message, with("allowed is")));
        }
        Kind::Pattern { pattern } => {
            let message = format!("{} does not match the pattern `{pattern}`", given());
            into.push(Problem::of_value(path, message, with("expected")));
        }
        _ => into.push(Problem::of_value(path, error.to_string(), around.and_then(description))),
    }
}

/// A value of the wrong type or form.
fn not_accepted(path: KeyPath, value: &Value, given: String, help: Option<String>) -> Problem {
    let fault = if value.is_object() { Fault::NoTable } else { Fault::Value };
    Problem { fault, ..Problem::of_value(path, format!("{given} is not accepted"), help) }
}

/// The keys of a table that may be one of several, such as the source of a secret: those that none of them has, or that
/// are one too many.
fn keys_of_choice(schema: &Value, at: &Value, value: &Value, path: &KeyPath) -> Option<Vec<Problem>> {
    let table = value.as_object()?;
    let mut known = Vec::new();
    tables_of_choice(schema, at, &mut known);
    if known.is_empty() {
        return None;
    }
    let unknown: Vec<_> = table.keys().filter(|key| !known.contains(&key.as_str())).collect();
    if !unknown.is_empty() {
        return Some(unknown.into_iter().map(|key| unknown_key(path, key, &known)).collect());
    }
    let given: Vec<_> = table.keys().map(String::as_str).collect();
    (given.len() > 1).then(|| {
        let message = format!("{} exclude each other", suggest::listed(&given));
        let help = wanted(schema, at).map(|wanted| format!("expected {wanted}"));
        vec![Problem::of_value(path.clone(), message, help)]
    })
}

fn tables_of_choice<'s>(schema: &'s Value, at: &'s Value, keys: &mut Vec<&'s str>) {
    keys.extend(properties(schema, at));
    let at = resolved(schema, at);
    for choice in ["anyOf", "oneOf"].into_iter().filter_map(|word| at.get(word)?.as_array()).flatten() {
        tables_of_choice(schema, choice, keys);
    }
}

fn properties_of<'s>(schema: &'s Value, at: &'s Value) -> Option<&'s Value> {
    resolved(schema, at).get("properties")
}

fn unknown_key(table: &KeyPath, key: &str, known: &[&str]) -> Problem {
    let help = suggest::advice(table, key, known);
    Problem::of_key(table.key(key), Fault::UnknownKey, "unknown key", help)
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

/// The only branch of a choice whose type matches the value, so that the errors are below it; `None` if there is no such
/// branch or more than one.
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
    // With two matching tables it is not clear which one is meant.
    fitting.next().is_none().then_some(branch)
}

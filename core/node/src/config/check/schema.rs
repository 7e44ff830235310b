//! Checks a table against the JSON schema of its struct.

use super::problem::{Part, Problem};
use super::suggest;
use super::words::{alternatives, description, expected, properties, shown, strings, type_name};
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
                // The message omits the value: it may be a secret in the wrong place.
                let message = format!("{} is not allowed here", root_type(root, error));
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
            let help = Some(format!("add `{key} = …`"));
            into.push(Problem {
                path,
                part: Part::Key,
                message: format!("the key `{key}` is missing"),
                help,
            });
        }
        Kind::Type { .. } => {
            // The message omits the value: it may be a secret in the wrong place.
            let message = format!("{} has the wrong type", root_type(root, error));
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
        help: suggest::advice(table, key, known),
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

/// The type of the value that an error is about.
fn root_type(root: &Value, error: &ValidationError<'_>) -> &'static str {
    root.pointer(error.instance_path().as_str()).map(type_name).unwrap_or_default()
}

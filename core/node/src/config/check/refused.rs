//! A value that its schema accepts and its type refuses, such as text that is no address.

use super::lookup::Spot;
use super::problem::Problem;
use super::words::{came, shown, wanted};
use crate::config::path::KeyPath;
use serde_json::Value;

/// The problem of a value that was refused because of `cause`, the words of the type's own parser.
pub(in crate::config) fn refused(path: KeyPath, spot: Option<&Spot>, value: &Value, cause: &str) -> Problem {
    let key = path.to_string();
    let given = match spot {
        Some(Spot { schema, at }) => came(schema, at, &key, value),
        None => shown(&key, value),
    };
    let help = spot.and_then(|Spot { schema, at }| Some(format!("expected {}", wanted(schema, at)?)));
    // Serde names Rust's types, which say less than the schema.
    let of_serde =
        ["invalid type", "invalid value", "invalid length"].iter().any(|start| cause.starts_with(start));
    let message = match value {
        _ if of_serde && help.is_some() => format!("{given} is not accepted"),
        Value::String(text) if !text.is_empty() && cause.contains(text.as_str()) => cause.to_owned(),
        _ => format!("{given} is not accepted: {cause}"),
    };
    Problem::of_value(path, message, help)
}

//! What is wrong with one value.

use crate::config::path::KeyPath;

/// What is wrong with a value, before the source of the value is determined.
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

/// A part of `key = value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Key,
    Value,
}

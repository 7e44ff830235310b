//! What is wrong with one value.

use crate::config::path::KeyPath;

/// What is wrong with a value, before the source of the value is determined.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) path: KeyPath,
    pub(crate) part: Part,
    pub(crate) fault: Fault,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    /// The other key of a rule about two, and the message from its side: if the value at `path` is a default, the other
    /// is the one that was set.
    pub(crate) other: Option<(KeyPath, String)>,
}

impl Problem {
    pub(crate) fn of_value(path: KeyPath, message: impl Into<String>, help: Option<String>) -> Self {
        let (message, fault) = (message.into(), Fault::Value);
        Self { path, part: Part::Value, fault, message, help, other: None }
    }

    pub(crate) fn of_key(
        path: KeyPath,
        fault: Fault,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Self {
        Self { path, part: Part::Key, fault, message: message.into(), help, other: None }
    }

    /// True if the problem is about this key or an item of its list.
    pub(crate) fn concerns(&self, key: &KeyPath) -> bool {
        self.path.leads_to(key) || key.leads_to(&self.path)
    }
}

/// A part of `key = value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Key,
    Value,
}

/// The kind of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The schema knows no such key.
    UnknownKey,
    /// A table stands where no table is wanted.
    NoTable,
    /// A key is missing.
    MissingKey,
    /// The value is wrong.
    Value,
}

//! What an operator reads in the log meanwhile.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The lines of some time.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Warnings and errors without their times and numbers, and how often each occurs. Changes of rungs are left out.
    pub(crate) warnings: BTreeMap<String, usize>,
    /// Changes of rungs.
    pub(crate) changes: usize,
    /// Their reasons.
    reasons: BTreeSet<String>,
    /// All lines.
    pub(crate) len: usize,
}

impl Lines {
    pub(crate) fn of(log: &str) -> Self {
        let mut lines = Self::default();
        for line in log.lines() {
            lines.len += 1;
            let Ok(Value::Object(mut parts)) = serde_json::from_str(line) else {
                // A panic before the log is set up, or of another library, is no JSON.
                *lines.warnings.entry(line.to_owned()).or_default() += 1;
                continue;
            };
            let text = |parts: &serde_json::Map<String, Value>, key: &str| {
                parts.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            match text(&parts, "message").as_str() {
                "the node degrades" | "the node recovers" => {
                    lines.changes += 1;
                    lines.reasons.insert(text(&parts, "because"));
                }
                _ if matches!(text(&parts, "level").as_str(), "WARN" | "ERROR") => {
                    parts.remove("timestamp");
                    let line = Value::Object(parts).to_string();
                    *lines.warnings.entry(without_numbers(&line)).or_default() += 1;
                }
                _ => {}
            }
        }
        lines
    }

    /// True if a warning, or the reason of a change, has one of these words.
    pub(crate) fn names(&self, causes: &[&str]) -> bool {
        let mut lines = self.warnings.keys().chain(&self.reasons);
        lines.any(|line| causes.iter().any(|cause| line.contains(cause)))
    }
}

/// Each number is a `#`.
fn without_numbers(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for letter in line.chars() {
        match letter {
            '0'..='9' if text.ends_with('#') => {}
            '0'..='9' => text.push('#'),
            letter => text.push(letter),
        }
    }
    text
}

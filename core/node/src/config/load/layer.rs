//! The values of the environment or of the command line, each with its variable or flag.

use super::source::Given;
use super::toml_value;
use crate::config::issue::{Issue, Origin};
use crate::config::path::KeyPath;
use serde_json::{Map, Value};
use toml::de::DeValue;

/// The values of one source, each with its variable or flag.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    pub(crate) values: Map<String, Value>,
    origins: Vec<(KeyPath, Origin)>,
}

/// What the schema says of a key.
#[derive(Debug, Default)]
pub(crate) struct Form {
    /// True if the key takes text and nothing else.
    pub(crate) is_text: bool,
    /// What is wanted, with an example.
    pub(crate) wanted: Option<String>,
}

impl Layer {
    /// The values of these variables or flags; `form` says what a key takes. What cannot be read is left out and added to
    /// `issues`.
    pub(crate) fn of(given: &[Given], form: &dyn Fn(&KeyPath) -> Form, issues: &mut Vec<Issue>) -> Self {
        let mut layer = Self::default();
        for given in given {
            if let Err((message, help)) = layer.put(given, form) {
                let key = given.keys.join(".");
                issues.push(Issue { key, message, help, origin: given.origin.clone() });
            }
        }
        layer
    }

    fn put(
        &mut self,
        given: &Given,
        form: &dyn Fn(&KeyPath) -> Form,
    ) -> Result<(), (String, Option<String>)> {
        let (keys, path) = (&given.keys, given.path());
        let refused = |message: &str, help: Option<&str>| (message.to_owned(), help.map(str::to_owned));
        let Some(text) = &given.text else { return Err(refused("the value is not UTF-8", None)) };
        if keys.iter().any(String::is_empty) {
            let help = "expected names with a dot between two, such as `heads.count`";
            return Err(refused("a part of the key is empty", Some(help)));
        }
        if keys.iter().any(|key| key.bytes().all(|byte| byte.is_ascii_digit())) {
            let help = "set the whole list as one TOML value, such as `[\"0.0.0.0\"]`";
            return Err(refused("list items cannot be set one by one", Some(help)));
        }
        let value = parse(text, &form(&path))?;
        let Some((last, above)) = keys.split_last() else { return Ok(()) };
        let mut table = &mut self.values;
        for key in above {
            match table.entry(key).or_insert_with(|| Value::Object(Map::new())) {
                Value::Object(below) => table = below,
                _ => {
                    let message = "another setting replaces the table of this key with a value";
                    return Err(refused(message, Some("remove one of the two")));
                }
            }
        }
        table.insert(last.clone(), value);
        self.origins.push((path, given.origin.clone()));
        Ok(())
    }

    /// The variable or flag of the value at `path`, or of a table around it.
    pub(crate) fn origin(&self, path: &KeyPath) -> Option<&Origin> {
        let around = self.origins.iter().rev().filter(|(known, _)| known.leads_to(path));
        let exact = around.max_by_key(|(known, _)| known.steps().len());
        // The path of a table, such as one that lacks a key: the first value inside it.
        exact
            .or_else(|| self.origins.iter().find(|(known, _)| path.leads_to(known)))
            .map(|(_, origin)| origin)
    }

    /// True if `path` itself is set, not only a key of its table.
    pub(crate) fn sets(&self, path: &KeyPath) -> bool {
        self.origins.iter().any(|(known, _)| known == path)
    }
}

/// Text as it stands, without the quotes that it may have, for a key that is text; TOML for all others.
fn parse(text: &str, form: &Form) -> Result<Value, (String, Option<String>)> {
    let parsed = DeValue::parse(text);
    match parsed {
        Ok(value) if !form.is_text || value.get_ref().is_str() => Ok(toml_value::of(value.get_ref())),
        Err(cause) if !form.is_text && text.starts_with(['[', '{', '"', '\'']) => {
            let help = form.wanted.as_ref().map(|wanted| format!("expected {wanted}"));
            Err((format!("the value is invalid TOML: {}", cause.message()), help))
        }
        Ok(_) | Err(_) => Ok(Value::String(text.to_owned())),
    }
}

//! Values of TOML that JSON has no form for: dates, numbers that are too large, `nan` and `inf`.
//!
//! They stand in a config as a table of one key, so that no schema accepts them and messages can show them.

use serde_json::{Map, Value};

const KEY: &str = "$hydra::unfit";

/// The value with this text.
pub(super) fn unfit(text: impl Into<String>) -> Value {
    Value::Object(Map::from_iter([(KEY.to_owned(), Value::String(text.into()))]))
}

/// The text of such a value; `None` for all others.
pub(super) fn text(value: &Value) -> Option<&str> {
    let table = value.as_object().filter(|table| table.len() == 1)?;
    table.get(KEY)?.as_str()
}

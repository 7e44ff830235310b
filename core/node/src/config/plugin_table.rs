//! A table that picks a plugin.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A table that picks a plugin by `kind`; the other keys are the plugin's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginTable {
    /// The plugin's word for itself.
    pub kind: String,
    /// Its own keys. After a load they are complete: the plugin's defaults are filled in.
    #[serde(flatten)]
    pub settings: Map<String, Value>,
}

impl PluginTable {
    /// A table that says no more than the kind.
    pub fn of(kind: &str) -> Self {
        Self { kind: kind.to_owned(), settings: Map::new() }
    }

    /// The plugin's own keys as the table that it is opened with.
    pub fn table(&self) -> Value {
        Value::Object(self.settings.clone())
    }
}

/// What the core asks of such a table; the rest is checked against the plugin's own schema.
impl JsonSchema for PluginTable {
    fn schema_name() -> Cow<'static, str> {
        "PluginTable".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": { "kind": { "type": "string", "description": "Which plugin." } },
            "required": ["kind"]
        })
    }
}

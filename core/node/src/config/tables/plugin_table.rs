//! The tables that select a plugin.

use hydra_engine::PolicyMode;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A table that selects a plugin by `kind`; the other keys are the plugin's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginTable {
    /// The name of the plugin.
    pub kind: String,
    /// The plugin's keys. A load fills in the plugin's defaults.
    #[serde(flatten)]
    pub settings: Map<String, Value>,
}

impl PluginTable {
    /// A table with the key `kind` only.
    pub fn of(kind: &str) -> Self {
        Self { kind: kind.to_owned(), settings: Map::new() }
    }

    /// The plugin's keys, as the table that opens it.
    pub fn table(&self) -> Value {
        Value::Object(self.settings.clone())
    }
}

/// A table that selects an admission policy by `kind` and its `mode`; the other keys are the plugin's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyTable {
    /// Decides whether the policy's decisions take effect.
    #[serde(default)]
    pub mode: PolicyMode,
    /// The plugin.
    #[serde(flatten)]
    pub plugin: PluginTable,
}

impl PolicyTable {
    /// A table with the key `kind` only: the policy's decisions take effect.
    pub fn of(kind: &str) -> Self {
        Self { mode: PolicyMode::default(), plugin: PluginTable::of(kind) }
    }
}

/// The part of the table that the core checks; the plugin's schema checks the rest.
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
            "properties": { "kind": { "type": "string", "description": "The name of the plugin." } },
            "required": ["kind"]
        })
    }
}

impl JsonSchema for PolicyTable {
    fn schema_name() -> Cow<'static, str> {
        "PolicyTable".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = PluginTable::json_schema(generator);
        let mut mode = generator.subschema_for::<PolicyMode>();
        mode.insert(
            "description".to_owned(),
            "Decides whether the policy's decisions take effect or are only counted.".into(),
        );
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.insert("mode".to_owned(), mode.to_value());
        }
        schema
    }
}

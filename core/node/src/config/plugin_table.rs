//! The tables that pick a plugin.

use hydra_engine::PolicyMode;
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

/// A table that picks an admission policy by `kind`, and says whether it acts; the other keys are the plugin's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyTable {
    /// Whether its verdicts count.
    #[serde(default)]
    pub mode: PolicyMode,
    /// The plugin.
    #[serde(flatten)]
    pub plugin: PluginTable,
}

impl PolicyTable {
    /// A table that says no more than the kind: the policy acts.
    pub fn of(kind: &str) -> Self {
        Self { mode: PolicyMode::default(), plugin: PluginTable::of(kind) }
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
            "Whether the policy acts, or judges and is counted alone.".into(),
        );
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.insert("mode".to_owned(), mode.to_value());
        }
        schema
    }
}

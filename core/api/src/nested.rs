//! A plugin's table inside the table of another plugin.

use crate::Role;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A table that picks a plugin of role `R` by its `kind`, as a field of another plugin's config or in a list there. Opened with
/// [`Scope::open`](crate::Scope::open).
///
/// ```toml
/// [store]
/// kind = "short-keys"
///
/// [store.inner]             # a Nested<Store> called `inner`
/// kind = "fjall"            # the other keys are those of that plugin
///
/// [store]
/// kind = "tiered"
///
/// [[store.tiers]]           # an item of a Vec<Nested<Store>> called `tiers`: Scope::open calls it `tiers[0]`
/// kind = "redis"
/// ```
///
/// Its schema carries [`Self::SCHEMA_KEYWORD`] with the name of the role, by which the node finds it at any depth: it
/// checks the table against the schema of the plugin, fills in that plugin's defaults, and names file and line of what
/// is wrong.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Nested<R: Role> {
    kind: String,
    #[serde(flatten)]
    settings: Map<String, Value>,
    #[serde(skip)]
    role: PhantomData<fn() -> R>,
}

impl<R: Role> Nested<R> {
    /// The keyword that marks the schema of such a table; its value is the name of the role.
    pub const SCHEMA_KEYWORD: &'static str = "x-hydra-plugin";

    /// A table that picks this kind and leaves all else to the plugin's defaults.
    pub fn of(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), settings: Map::new(), role: PhantomData }
    }

    /// The kind of the plugin.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The table of the plugin, without `kind`.
    pub fn table(&self) -> Value {
        Value::Object(self.settings.clone())
    }
}

impl<R: Role> JsonSchema for Nested<R> {
    fn schema_name() -> Cow<'static, str> {
        format!("Nested_{}", R::NAME).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = json_schema!({
            "type": "object",
            "properties": { "kind": { "type": "string", "description": "The kind of the plugin." } },
            "required": ["kind"]
        });
        schema.insert(Self::SCHEMA_KEYWORD.to_owned(), R::NAME.into());
        schema
    }
}

impl<R: Role> Clone for Nested<R> {
    fn clone(&self) -> Self {
        Self { kind: self.kind.clone(), settings: self.settings.clone(), role: PhantomData }
    }
}

impl<R: Role> PartialEq for Nested<R> {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.settings == other.settings
    }
}

impl<R: Role> fmt::Debug for Nested<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nested({} {})", R::NAME, self.kind)
    }
}

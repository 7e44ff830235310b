//! The plugins that a node can choose from.

use super::{Admission, Ids, OpenError, Plugin, Role, Scope, Store};
use crate::import::{ImportEntry, ImportSource};
use schemars::Schema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The plugins that a node can choose from, by role and kind. Filled in `main`, explicitly.
///
/// ```text
/// let mut registry = Registry::default();
/// hydra_bundle::add_all(&mut registry);
/// registry.add::<OfficeHours>();
/// hydra_node::run(registry, std::env::args_os())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Registry {
    pub(crate) stores: Vec<Entry<Store>>,
    pub(crate) admissions: Vec<Entry<Admission>>,
    pub(crate) ids: Vec<Entry<Ids>>,
    imports: Vec<ImportEntry>,
}

impl Registry {
    /// Makes a plugin known. It takes the place of one of the same role and kind.
    pub fn add<P: Plugin>(&mut self) -> &mut Self {
        let entries = P::Role::entries_mut(self);
        entries.retain(|entry| entry.kind != P::KIND);
        entries.push(Entry::of::<P>());
        entries.sort_by_key(|entry| entry.kind);
        self
    }

    /// Makes a kind of import known. It takes the place of one of the same kind.
    pub fn add_importer<S: ImportSource>(&mut self) -> &mut Self {
        self.imports.retain(|entry| entry.kind() != S::KIND);
        self.imports.push(ImportEntry::of::<S>());
        self.imports.sort_by_key(ImportEntry::kind);
        self
    }

    /// The kinds of import, ordered.
    pub fn importers(&self) -> &[ImportEntry] {
        &self.imports
    }

    /// The plugins of a role, ordered by kind.
    pub fn all<R: Role>(&self) -> &[Entry<R>] {
        R::entries(self)
    }

    /// The plugin of a role that TOML calls `kind`.
    pub fn find<R: Role>(&self, kind: &str) -> Option<&Entry<R>> {
        self.all::<R>().iter().find(|entry| entry.kind == kind)
    }
}

/// One plugin that is known.
pub struct Entry<R: Role> {
    kind: &'static str,
    summary: &'static str,
    schema: fn() -> Schema,
    complete: fn(Value) -> Result<Value, ConfigIssue>,
    check: fn(Value) -> Result<(), OpenError>,
    check_files: fn(Value, &Scope) -> Result<(), OpenError>,
    open: Open<R>,
}

type Open<R> =
    fn(Value, Scope) -> Pin<Box<dyn Future<Output = Result<Arc<<R as Role>::Object>, OpenError>> + Send>>;

impl<R: Role> Entry<R> {
    fn of<P: Plugin<Role = R>>() -> Self {
        Self {
            kind: P::KIND,
            summary: P::SUMMARY,
            schema: || schemars::schema_for!(P::Config),
            complete: |table| {
                let config = parse::<P::Config>(table)?;
                serde_json::to_value(config)
                    .map_err(|cause| ConfigIssue { key: String::new(), message: cause.to_string() })
            },
            check: |table| checked::<P>(table).map(drop),
            check_files: |table, scope| P::check_files(&checked::<P>(table)?, scope),
            open: |table, scope| Box::pin(async move { P::open(checked::<P>(table)?, &scope).await }),
        }
    }

    /// The word in TOML.
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// One line on what it is good for.
    pub const fn summary(&self) -> &'static str {
        self.summary
    }

    /// The JSON schema of its table, without `kind`.
    pub fn schema(&self) -> Schema {
        (self.schema)()
    }

    /// The table with the plugin's defaults filled in, without opening anything.
    ///
    /// # Errors
    /// [`ConfigIssue`] when it is no table of this plugin.
    pub fn complete(&self, table: Value) -> Result<Value, ConfigIssue> {
        (self.complete)(table)
    }

    /// Looks at the table, without `kind`, as [`Plugin::check_config`] does. It opens nothing.
    ///
    /// # Errors
    /// [`OpenError`] as the plugin gives it, or when the table is not one of this plugin.
    pub fn check(&self, table: Value) -> Result<(), OpenError> {
        (self.check)(table)
    }

    /// Looks at the files that the complete table names, as [`Plugin::check_files`] does.
    ///
    /// # Errors
    /// [`OpenError`] as the plugin gives it, or when the table is not one of this plugin.
    pub fn check_files(&self, table: Value, scope: &Scope) -> Result<(), OpenError> {
        (self.check_files)(table, scope)
    }

    /// Opens the plugin from its table, without `kind`.
    ///
    /// # Errors
    /// [`OpenError`] as the plugin gives it, or when the table is not one of this plugin.
    pub async fn open(&self, table: Value, scope: &Scope) -> Result<Arc<R::Object>, OpenError> {
        (self.open)(table, scope.clone()).await
    }
}

fn checked<P: Plugin>(table: Value) -> Result<P::Config, OpenError> {
    let config = parse::<P::Config>(table).map_err(|issue| OpenError::config(issue.key, issue.message))?;
    P::check_config(&config)?;
    Ok(config)
}

pub(crate) fn parse<C: DeserializeOwned>(table: Value) -> Result<C, ConfigIssue> {
    // Serde would read a struct from a list of its values too.
    if !table.is_object() {
        return Err(ConfigIssue { key: ".".to_owned(), message: "it is not a table".to_owned() });
    }
    serde_path_to_error::deserialize(table)
        .map_err(|issue| ConfigIssue { key: issue.path().to_string(), message: issue.inner().to_string() })
}

impl<R: Role> Clone for Entry<R> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<R: Role> fmt::Debug for Entry<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", R::NAME, self.kind)
    }
}

/// A key of a plugin's table that its config struct refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct ConfigIssue {
    /// The key, dotted from the plugin's table down; `.` for the table itself.
    pub key: String,
    /// What is wrong with it.
    pub message: String,
}

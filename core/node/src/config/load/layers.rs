//! Merges the sources of a config.

use super::document::Document;
use super::layer::{Form, Layer};
use super::source::{FromFile, Given};
use crate::config::check::Part;
use crate::config::issue::{Issue, Issues, Origin};
use crate::config::path::{KeyPath, Step};
use figment::providers::Serialized;
use figment::value::{Tag, Value as Tagged};
use figment::{Figment, Metadata, Profile, Provider};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The merged sources of a config, with the source of each value.
#[derive(Debug)]
pub(crate) struct Layers {
    figment: Figment,
    document: Option<Document>,
    environment: Layer,
    settings: Layer,
}

/// What the sources other than the defaults say.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) file: Option<FromFile>,
    pub(crate) environment: Vec<Given>,
    pub(crate) settings: Vec<Given>,
}

const FILE: &str = "file";
const ENVIRONMENT: &str = "environment";
const SETTINGS: &str = "settings";

/// One source as figment merges it; its name identifies its values after the merge.
struct Named<'v> {
    name: &'static str,
    values: &'v Map<String, Value>,
}

impl Provider for Named<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<BTreeMap<Profile, BTreeMap<String, Tagged>>, figment::Error> {
        Serialized::defaults(self.values).data()
    }
}

impl Layers {
    /// Merges the sources; a later one takes precedence: defaults, file, environment, command line. What cannot be read is
    /// left out and added to `issues`.
    pub(crate) fn merge(
        defaults: &Map<String, Value>,
        sources: &Read,
        form: &dyn Fn(&KeyPath) -> Form,
        issues: &mut Vec<Issue>,
    ) -> Self {
        let mut file = sources.file.clone();
        let mut environment = Layer::of(&sources.environment, form, issues);
        let settings = Layer::of(&sources.settings, form, issues);
        if let Some((_, values)) = &mut file {
            replace_secrets(values, &environment.values);
            replace_secrets(values, &settings.values);
        }
        replace_secrets(&mut environment.values, &settings.values);
        let mut figment = Figment::from(Named { name: "defaults", values: defaults });
        if let Some((_, values)) = &file {
            figment = figment.merge(Named { name: FILE, values });
        }
        figment = figment.merge(Named { name: ENVIRONMENT, values: &environment.values });
        figment = figment.merge(Named { name: SETTINGS, values: &settings.values });
        Self { figment, document: file.map(|(document, _)| document), environment, settings }
    }

    /// The merged config as one value.
    pub(crate) fn merged(&self) -> Result<Value, Issues> {
        let unreadable = |cause: figment::Error| Issue {
            key: cause.path.join("."),
            message: cause.kind.to_string(),
            help: None,
            origin: Origin::Default,
        };
        self.figment.extract().map_err(|cause| unreadable(cause).into())
    }

    /// True if a source says something of the table at `path` as a whole: its header stands in the file, or a variable or
    /// a flag sets it.
    pub(crate) fn has_table(&self, path: &KeyPath) -> bool {
        let in_file = self.document.as_ref().is_some_and(|file| file.holds(path));
        in_file || self.environment.sets(path) || self.settings.sets(path)
    }

    /// The place of a table that [`Self::has_table`].
    pub(crate) fn origin_of_table(&self, path: &KeyPath) -> Origin {
        let of = |layer: &Layer| layer.sets(path).then(|| layer.origin(path).cloned()).flatten();
        let in_file = || self.document.as_ref()?.find(path, Part::Key).map(Origin::File);
        of(&self.settings).or_else(|| of(&self.environment)).or_else(in_file).unwrap_or(Origin::Default)
    }

    /// The source of the value at `path`; a value that no source sets is the default.
    pub(crate) fn effective_origin(&self, path: &KeyPath) -> Origin {
        let given = self.figment.find_value("").is_ok_and(|root| find(&root, path).is_some());
        if given { self.origin(path, Part::Key) } else { Origin::Default }
    }

    /// The source to name in an error about `path`: the source of the value, or else of the table around it.
    pub(crate) fn origin(&self, path: &KeyPath, part: Part) -> Origin {
        let name = self
            .figment
            .find_value("")
            .ok()
            .and_then(|root| Some(self.figment.get_metadata(nearest_tag(&root, path))?.name.clone()));
        let origin = match name.as_deref() {
            Some(SETTINGS) => self.settings.origin(path).cloned(),
            Some(ENVIRONMENT) => self.environment.origin(path).cloned(),
            Some(FILE) => self.document.as_ref().and_then(|file| file.find(path, part)).map(Origin::File),
            _ => None,
        };
        origin.unwrap_or(Origin::Default)
    }
}

/// Empties the tables that name where a secret is, `{ file = "…" }` or `{ env = "…" }`, where `upper` names another place: merged, they would name
/// two.
fn replace_secrets(lower: &mut Map<String, Value>, upper: &Map<String, Value>) {
    let names_a_place = |table: &Map<String, Value>| {
        !table.is_empty() && table.keys().all(|key| matches!(key.as_str(), "file" | "env"))
    };
    for (key, upper) in upper {
        if let (Some(Value::Object(lower)), Value::Object(upper)) = (lower.get_mut(key), upper) {
            match names_a_place(lower) && names_a_place(upper) {
                true => lower.clear(),
                false => replace_secrets(lower, upper),
            }
        }
    }
}

/// The value at `path`.
fn find<'v>(root: &'v Tagged, path: &KeyPath) -> Option<&'v Tagged> {
    path.steps().iter().try_fold(root, step)
}

fn step<'v>(at: &'v Tagged, step: &Step) -> Option<&'v Tagged> {
    match (at, step) {
        (Tagged::Dict(_, table), Step::Key(key)) => table.get(key),
        (Tagged::Array(_, items), Step::Item(item)) => items.get(*item),
        _ => None,
    }
}

/// The tag of the value at `path`, or of its nearest parent.
fn nearest_tag(root: &Tagged, path: &KeyPath) -> Tag {
    let mut at = root;
    for next in path.steps() {
        match step(at, next) {
            Some(below) => at = below,
            None => break,
        }
    }
    latest_tag(at)
}

/// A table may have values of several sources: the one with the highest precedence counts.
fn latest_tag(value: &Tagged) -> Tag {
    match value {
        Tagged::Dict(tag, table) => table.values().map(latest_tag).chain([*tag]).max().unwrap_or(*tag),
        other => other.tag(),
    }
}

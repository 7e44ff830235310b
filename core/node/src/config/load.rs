//! Where a config comes from: defaults, file, environment and command line, merged and validated.

mod document;
mod layer;
mod layers;
mod service;
mod source;
mod toml_value;
mod variables;

pub use source::{Setting, Sources};

use crate::config::check::{self, Fault, Problem, lookup, suggest, words};
use crate::config::issue::{Issue, Issues, Origin};
use crate::config::path::KeyPath;
use crate::config::tables::{Config, core_schema};
use hydra_api::{Ids, Registry, Role, Store};
use layer::Form;
use layers::{Layers, Read};
use serde_json::{Map, Value};

/// A valid config.
#[derive(Debug)]
pub struct Loaded {
    /// The config with all defaults filled in, those of the plugins included.
    pub config: Config,
    values: Value,
    layers: Layers,
    warnings: Vec<Issue>,
    /// Items that the lists of a config with errors lack.
    removed: check::Removed,
}

/// What was found in the sources of a config, whether it is valid or not.
#[derive(Debug)]
pub(crate) struct Examined {
    /// The config. Where a value has an error, it has the default; `None` if the sources cannot be read.
    pub(crate) loaded: Option<Loaded>,
    /// The errors.
    pub(crate) issues: Vec<Issue>,
}

/// One value of a config and its source.
#[derive(Debug, Clone)]
pub struct Effective {
    /// The key, as a dotted path.
    pub key: String,
    /// The effective value.
    pub value: Value,
    /// The source of the value.
    pub origin: Origin,
}

/// Loads the config from four sources; a later one takes precedence: defaults, file, environment, command line.
///
/// A variable that begins with [`Sources::PREFIX`] and is no key is not an error: see [`Loaded::warnings`].
///
/// # Errors
/// All errors in the config, each with its place.
pub fn load(registry: &Registry, sources: &Sources) -> Result<Loaded, Issues> {
    match examine(registry, sources) {
        Examined { loaded: Some(loaded), issues } if issues.is_empty() => Ok(loaded),
        Examined { issues, .. } => Err(Issues(issues)),
    }
}

/// Reads the sources and finds all errors.
pub(crate) fn examine(registry: &Registry, sources: &Sources) -> Examined {
    match read(sources) {
        Ok((defaults, sources)) => examine_read(registry, &defaults, sources),
        Err(Issues(issues)) => Examined { loaded: None, issues },
    }
}

fn read(sources: &Sources) -> Result<(Map<String, Value>, Read), Issues> {
    let (file, environment, settings) =
        (sources.read_file()?, sources.of_environment(), sources.of_command_line());
    Ok((defaults()?, Read { file, environment, settings }))
}

/// Variables that are no key are left out, one pass after another: each may hide what another source says.
fn examine_read(registry: &Registry, defaults: &Map<String, Value>, mut sources: Read) -> Examined {
    let core = core_schema();
    let mut warnings = variables::take_strangers(registry, &core, defaults, &mut sources.environment);
    loop {
        let mut issues = Vec::new();
        let rough = Layers::merge(defaults, &sources, &|_| Form::default(), &mut Vec::new()).merged();
        let rough = rough.unwrap_or(Value::Null);
        let form = |path: &KeyPath| form(registry, &core, &rough, path);
        let layers = Layers::merge(defaults, &sources, &form, &mut issues);
        let mut values = match layers.merged() {
            Ok(values) => values,
            Err(Issues(issues)) => return Examined { loaded: None, issues },
        };
        let (config, problems, removed) = check::whole(registry, &core, defaults, &mut values);
        let unknown = variables::take_unknown(&layers, &problems, &mut sources.environment);
        if !unknown.is_empty() {
            warnings.extend(unknown);
            continue;
        }
        issues.extend(without_kind(registry, &layers, &values));
        issues.extend(problems.into_iter().map(|problem| locate(&layers, problem)));
        issues.sort_by_key(|issue| match &issue.origin {
            Origin::File(place) => (place.line(), place.column()),
            _ => (0, 0),
        });
        let loaded = config.map(|config| Loaded { config, values, layers, warnings, removed });
        return Examined { loaded, issues };
    }
}

/// What the schema says of a key.
fn form(registry: &Registry, core: &Value, values: &Value, path: &KeyPath) -> Form {
    match lookup::spot(registry, core, values, path) {
        Some(spot) => Form {
            is_text: words::is_text(&spot.schema, &spot.at),
            wanted: words::wanted(&spot.schema, &spot.at),
        },
        None => Form::default(),
    }
}

/// A table that a source sets names its kind: without, it would be read as one of the default kind.
fn without_kind(registry: &Registry, layers: &Layers, values: &Value) -> Vec<Issue> {
    fn kinds<R: Role>(registry: &Registry) -> String {
        let kinds: Vec<&str> = registry.all::<R>().iter().map(|entry| entry.kind()).collect();
        suggest::listed(&kinds)
    }
    let tables = [
        (Store::NAME, Config::STORE_KIND, kinds::<Store>(registry)),
        (Ids::NAME, Config::IDS_KIND, kinds::<Ids>(registry)),
    ];
    let issue = |(role, default, kinds): (&str, &str, String)| {
        let path = KeyPath::root().key(role);
        let is_named = layers.effective_origin(&path.key("kind")) != Origin::Default;
        if is_named || !values.get(role).is_some_and(Value::is_object) || !layers.has_table(&path) {
            return None;
        }
        let help = format!("add `kind = \"{default}\"`, the default, or another of the known kinds: {kinds}");
        let message = "the key `kind` is missing".to_owned();
        Some(Issue {
            key: path.to_string(),
            message,
            help: Some(help),
            origin: layers.origin_of_table(&path),
        })
    };
    tables.into_iter().filter_map(issue).collect()
}

impl Loaded {
    /// All effective values with their sources, in the order of their keys.
    pub fn effective(&self) -> Vec<Effective> {
        let mut list = Vec::new();
        self.flatten(&KeyPath::root(), &self.values, &mut list);
        list
    }

    /// What is no error, but was hardly meant: environment variables that begin as those of the config and are no key.
    pub fn warnings(&self) -> &[Issue] {
        &self.warnings
    }

    /// The value at `path`.
    pub(crate) fn value(&self, path: &KeyPath) -> Option<&Value> {
        lookup::value(&self.values, path)
    }

    /// The values of all tables, with the defaults of the plugins.
    pub(crate) const fn values(&self) -> &Value {
        &self.values
    }

    /// The issue of a key whose error shows only when a plugin is opened.
    pub(crate) fn issue(&self, path: KeyPath, message: String, help: Option<String>) -> Issue {
        locate(&self.layers, Problem::of_value(self.removed.original(&path), message, help))
    }

    /// The issue of several keys: at the first of them that a source sets.
    pub(crate) fn issue_of(&self, paths: &[KeyPath], message: String, help: Option<String>) -> Issue {
        let is_set = |path: &&KeyPath| self.layers.effective_origin(path) != Origin::Default;
        let path = paths.iter().find(is_set).or_else(|| paths.first()).cloned().unwrap_or_default();
        self.issue(path, message, help)
    }

    fn flatten(&self, path: &KeyPath, value: &Value, list: &mut Vec<Effective>) {
        match value {
            Value::Object(table) if !table.is_empty() => {
                table.iter().for_each(|(key, value)| self.flatten(&path.key(key), value, list));
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                let items = items.iter().enumerate();
                items.for_each(|(index, value)| self.flatten(&path.item(index), value, list));
            }
            // An optional key that is not set.
            Value::Null => {}
            value => list.push(Effective {
                key: path.to_string(),
                value: value.clone(),
                origin: self.layers.effective_origin(path),
            }),
        }
    }
}

fn defaults() -> Result<Map<String, Value>, Issues> {
    match serde_json::to_value(Config::default()) {
        Ok(Value::Object(defaults)) => Ok(defaults),
        other => Err(Issues(vec![Issue {
            key: String::new(),
            message: format!("the built-in defaults are not a table: {other:?}"),
            help: None,
            origin: Origin::Default,
        }])),
    }
}

fn locate(layers: &Layers, problem: Problem) -> Issue {
    let (mut path, mut message) = (problem.path, problem.message);
    let mut origin = layers.origin(&path, problem.part);
    if let (Origin::Default, Some((other, other_message))) = (&origin, problem.other) {
        let of_other = layers.origin(&other, problem.part);
        if of_other != Origin::Default {
            (path, message, origin) = (other, other_message, of_other);
        }
    }
    let mut help = problem.help;
    if problem.fault == Fault::UnknownKey {
        help = [help, kind_elsewhere(layers, &path, &origin)]
            .into_iter()
            .flatten()
            .reduce(|one, other| format!("{one}; {other}"));
    }
    Issue { key: path.to_string(), message, help, origin }
}

/// What sets the kind of the plugin to which a key is unknown, if it is a variable or a flag and the key is from elsewhere.
fn kind_elsewhere(layers: &Layers, key: &KeyPath, of_key: &Origin) -> Option<String> {
    let tables = std::iter::successors(key.parent(), KeyPath::parent);
    let kinds = tables.filter(|table| !table.steps().is_empty()).map(|table| table.key("kind"));
    kinds.into_iter().find_map(|kind| {
        let origin = layers.effective_origin(&kind);
        let is_set = matches!(origin, Origin::Environment(_) | Origin::Flag(_)) && origin != *of_key;
        is_set.then(|| format!("`{kind}` is set by {origin}"))
    })
}

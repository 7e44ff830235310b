//! Loads a config from all sources and validates it.

use super::check::{Problem, check};
use super::document::Part;
use super::issue::{Issue, Issues, Origin};
use super::layers::Layers;
use super::path::KeyPath;
use super::source::Sources;
use super::{Config, nested, suggest};
use hydra_api::{Admission, Ids, Registry, Role, Store};
use hydra_engine::PolicyMode;
use serde_json::{Map, Value};

/// A valid config.
#[derive(Debug)]
pub struct Loaded {
    /// The config with all defaults filled in, those of the plugins included.
    pub config: Config,
    pub(super) values: Value,
    layers: Layers,
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
/// # Errors
/// All errors in the config, each with its place.
pub fn load(registry: &Registry, sources: &Sources) -> Result<Loaded, Issues> {
    let defaults = defaults()?;
    let layers = Layers::read(&defaults, sources)?;
    let mut values = layers.merged()?;
    let mut problems = check(&core_schema(), &values, &KeyPath::root());
    plugin_problems(registry, &mut values, &mut problems);
    if problems.is_empty() {
        match serde_path_to_error::deserialize::<_, Config>(&values) {
            Ok(config) => {
                problems = super::rules::check(&config);
                if problems.is_empty() {
                    return Ok(Loaded { config, values, layers });
                }
            }
            Err(issue) => {
                let path = KeyPath::of_dotted(&issue.path().to_string());
                problems.push(Problem::of_value(path, issue.inner().to_string(), None));
            }
        }
    }
    let mut issues: Vec<_> = problems.into_iter().map(|problem| locate(&layers, problem)).collect();
    issues.sort_by_key(|issue| match &issue.origin {
        Origin::File(place) => (place.line(), place.column()),
        _ => (0, 0),
    });
    Err(Issues(issues))
}

impl Loaded {
    /// All effective values with their sources, in the order of their keys.
    pub fn effective(&self) -> Vec<Effective> {
        let mut list = Vec::new();
        self.flatten(&KeyPath::root(), &self.values, &mut list);
        list
    }

    /// The issue of a key whose error shows only when a plugin is opened.
    pub(crate) fn issue(&self, path: KeyPath, message: String, help: Option<String>) -> Issue {
        locate(&self.layers, Problem::of_value(path, message, help))
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

/// The JSON schema of the core's tables; plugin tables accept any key.
pub(super) fn core_schema() -> Value {
    schemars::schema_for!(Config).to_value()
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
    Issue {
        key: problem.path.to_string(),
        origin: layers.origin(&problem.path, problem.part),
        message: problem.message,
        help: problem.help,
    }
}

/// Checks every table that selects a plugin, and fills in the plugin's defaults.
fn plugin_problems(registry: &Registry, values: &mut Value, problems: &mut Vec<Problem>) {
    let root = KeyPath::root();
    if let Some(store) = values.get_mut(Store::NAME) {
        plugin_table::<Store>(registry, store, &root.key(Store::NAME), problems);
    }
    if let Some(ids) = values.get_mut(Ids::NAME) {
        plugin_table::<Ids>(registry, ids, &root.key(Ids::NAME), problems);
    }
    let policies = values.get_mut(Admission::NAME).and_then(Value::as_array_mut);
    for (index, policy) in policies.into_iter().flatten().enumerate() {
        plugin_table::<Admission>(registry, policy, &root.key(Admission::NAME).item(index), problems);
    }
}

/// Skips a table without `kind`: the core's schema reports that.
fn plugin_table<R: Role>(registry: &Registry, value: &mut Value, at: &KeyPath, problems: &mut Vec<Problem>) {
    let Some(table) = value.as_object_mut() else { return };
    let Some(kind) = table.get("kind").and_then(Value::as_str).map(str::to_owned) else { return };
    let Some(entry) = registry.find::<R>(&kind) else {
        problems.push(unknown_kind::<R>(registry, &kind, at));
        return;
    };
    let mut settings = table.clone();
    let mut schema = entry.schema().to_value();
    for key in own_keys::<R>() {
        if schema["properties"].get(*key).is_some() {
            problems.push(taken_key(key, &kind, at));
            return;
        }
        settings.remove(*key);
        // With these keys in the schema, the error of a misspelled one suggests them.
        schema["properties"][*key] = Value::Bool(true);
    }
    let settings = Value::Object(settings);
    let found = check(&schema, &settings, at);
    if !found.is_empty() {
        problems.extend(found);
        return;
    }
    match entry.complete(settings) {
        Ok(mut complete) if complete.is_object() => {
            let mut below = Vec::new();
            nested::each(&schema, &mut complete, at, &mut |path, role, value| {
                nested_table(registry, role, value, path, &mut below);
            });
            problems.extend(below);
            if let Value::Object(complete) = complete {
                table.extend(complete);
            }
            if R::NAME == Admission::NAME {
                table.entry("mode").or_insert_with(|| PolicyMode::default().as_str().into());
            }
        }
        Ok(_) => {}
        Err(issue) => {
            let path = at.join(&KeyPath::of_dotted(&issue.key));
            problems.push(Problem::of_value(path, issue.message, None));
        }
    }
}

/// Checks a plugin table inside another plugin's table.
fn nested_table(
    registry: &Registry,
    role: &str,
    value: &mut Value,
    at: &KeyPath,
    problems: &mut Vec<Problem>,
) {
    if role == Store::NAME {
        plugin_table::<Store>(registry, value, at, problems);
    } else if role == Admission::NAME {
        plugin_table::<Admission>(registry, value, at, problems);
    } else if role == Ids::NAME {
        plugin_table::<Ids>(registry, value, at, problems);
    }
}

/// The keys of a plugin table that belong to the node; a plugin never sees them.
fn own_keys<R: Role>() -> &'static [&'static str] {
    if R::NAME == Admission::NAME { &["kind", "mode"] } else { &["kind"] }
}

/// The error of a plugin that defines a key of the node.
fn taken_key(key: &str, kind: &str, at: &KeyPath) -> Problem {
    let message = format!("the plugin `{kind}` defines the key `{key}`, which is reserved for the node");
    Problem::of_value(at.key("kind"), message, Some("rename the key in the plugin".to_owned()))
}

fn unknown_kind<R: Role>(registry: &Registry, kind: &str, at: &KeyPath) -> Problem {
    let kinds: Vec<&str> = registry.all::<R>().iter().map(|entry| entry.kind()).collect();
    let list = match kinds.is_empty() {
        true => format!("this program contains no plugin for {}", R::NAME),
        false => format!("known kinds: {}", suggest::listed(&kinds)),
    };
    let help = match suggest::nearest(kind, kinds.iter().copied()) {
        Some(word) => format!("did you mean `{word}`? {list}"),
        None => list,
    };
    Problem {
        path: at.key("kind"),
        part: Part::Value,
        message: format!("unknown kind `{kind}`"),
        help: Some(help),
    }
}

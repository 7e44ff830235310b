//! Where a config comes from: defaults, file, environment and command line, merged and validated.

mod document;
mod layers;
mod source;

pub use source::{Setting, Sources};

use crate::config::check::{self, Problem};
use crate::config::issue::{Issue, Issues, Origin};
use crate::config::path::KeyPath;
use crate::config::tables::{Config, core_schema};
use hydra_api::Registry;
use layers::Layers;
use serde_json::{Map, Value};

/// A valid config.
#[derive(Debug)]
pub struct Loaded {
    /// The config with all defaults filled in, those of the plugins included.
    pub config: Config,
    values: Value,
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
    let mut problems = check::schema(&core_schema(), &values, &KeyPath::root());
    check::plugins(registry, &mut values, &mut problems);
    if problems.is_empty() {
        match serde_path_to_error::deserialize::<_, Config>(&values) {
            Ok(config) => {
                problems = check::rules(&config);
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

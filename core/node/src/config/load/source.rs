//! The sources of a config.

use super::document::Document;
use crate::config::issue::{Issue, Issues, Origin};
use crate::config::path::KeyPath;
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::path::PathBuf;

/// The sources of a config other than the defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The TOML file, if there is one.
    pub file: Option<PathBuf>,
    /// All environment variables; those that begin with [`Self::PREFIX`] are config.
    pub environment: Vec<(OsString, OsString)>,
    /// The settings of the command line in their order; a later one takes precedence.
    pub settings: Vec<Setting>,
}

/// One value from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key, as a dotted path.
    pub key: String,
    /// The value: TOML, else plain text.
    pub value: String,
    /// The flag, as messages name it.
    pub flag: String,
}

/// The values of one source, each with its variable or flag.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    pub(crate) values: Map<String, Value>,
    pub(crate) origins: Vec<(KeyPath, Origin)>,
}

/// The config file and its values.
pub(crate) type FromFile = (Document, Map<String, Value>);

impl Sources {
    /// The prefix of environment variables: `HYDRA_HEADS__COUNT` is `count` of `[heads]`.
    pub const PREFIX: &'static str = "HYDRA_";

    /// The variable that names the config file; it is not a key.
    pub const FILE_VARIABLE: &'static str = "HYDRA_CONFIG";

    /// The environment of this process.
    pub fn process_environment() -> Vec<(OsString, OsString)> {
        std::env::vars_os().collect()
    }

    pub(crate) fn read_file(&self) -> Result<Option<FromFile>, Issues> {
        let Some(path) = &self.file else { return Ok(None) };
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|cause| Issue {
            key: String::new(),
            message: format!("cannot read the config file: {cause}"),
            help: None,
            origin: Origin::WholeFile(name.clone()),
        })?;
        match Document::parse(&name, text) {
            Ok((document, Value::Object(values))) => Ok(Some((document, values))),
            // Unreachable: a TOML document is a table.
            Ok((document, _)) => Ok(Some((document, Map::new()))),
            Err(cause) => Err(Issue {
                key: String::new(),
                message: format!("invalid TOML: {}", cause.message),
                help: None,
                origin: Origin::File(cause.place),
            }
            .into()),
        }
    }

    pub(crate) fn environment_layer(&self) -> Result<Layer, Issues> {
        let mut named: Vec<(&str, &OsString)> = self
            .environment
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value)))
            .filter(|(name, _)| name.starts_with(Self::PREFIX) && !is_foreign(name))
            .collect();
        named.sort_unstable();
        let mut layer = Layer::default();
        for (name, value) in named {
            let origin = Origin::Environment(name.to_owned());
            let keys: Vec<String> = name[Self::PREFIX.len()..].split("__").map(str::to_lowercase).collect();
            let Some(value) = value.to_str() else {
                return Err(issue(&keys, "the value is not UTF-8", None, origin));
            };
            layer.put(&keys, value, origin)?;
        }
        Ok(layer)
    }

    pub(crate) fn settings_layer(&self) -> Result<Layer, Issues> {
        let mut layer = Layer::default();
        for setting in &self.settings {
            let keys: Vec<String> = setting.key.split('.').map(str::to_owned).collect();
            layer.put(&keys, &setting.value, Origin::Flag(setting.flag.clone()))?;
        }
        Ok(layer)
    }
}

/// True for variables that are not config: the one that names the file, and those that Kubernetes sets in every
/// container next to a service named `hydra`.
fn is_foreign(name: &str) -> bool {
    let rest = &name[Sources::PREFIX.len()..];
    name == Sources::FILE_VARIABLE
        || rest == "PORT"
        || rest.starts_with("PORT_")
        || rest.starts_with("SERVICE_HOST")
        || rest.starts_with("SERVICE_PORT")
}

impl Layer {
    fn put(&mut self, keys: &[String], text: &str, origin: Origin) -> Result<(), Issues> {
        if keys.iter().any(String::is_empty) {
            return Err(issue(keys, "a part of the key is empty", None, origin));
        }
        if keys.iter().any(|key| key.bytes().all(|byte| byte.is_ascii_digit())) {
            let help = "set the whole list as one TOML value".to_owned();
            return Err(issue(keys, "list items cannot be set one by one", Some(help), origin));
        }
        let value = parse(text).map_err(|message| issue(keys, &message, None, origin.clone()))?;
        let Some((last, above)) = keys.split_last() else { return Ok(()) };
        let mut table = &mut self.values;
        for key in above {
            let below = table.entry(key).or_insert_with(|| Value::Object(Map::new()));
            table = match below {
                Value::Object(table) => table,
                _ => {
                    return Err(issue(
                        keys,
                        "another setting replaces the table of this key with a value",
                        None,
                        origin,
                    ));
                }
            };
        }
        table.insert(last.clone(), value);
        let path = keys.iter().fold(KeyPath::root(), |path, key| path.key(key));
        self.origins.push((path, origin));
        Ok(())
    }

    /// The variable or flag of the value at `path`, or of a table around it.
    pub(crate) fn origin(&self, path: &KeyPath) -> Option<&Origin> {
        let around = self.origins.iter().rev().filter(|(known, _)| known.leads_to(path));
        let exact = around.max_by_key(|(known, _)| known.steps().len());
        // The path of a table, such as one that lacks a key: the first value inside it.
        exact
            .or_else(|| self.origins.iter().find(|(known, _)| path.leads_to(known)))
            .map(|(_, origin)| origin)
    }
}

/// Parses a value as TOML; anything else is plain text.
fn parse(text: &str) -> Result<Value, String> {
    match toml::from_str::<Map<String, Value>>(&format!("value = {text}")) {
        Ok(table) if table.len() == 1 => {
            let value = table.into_iter().next().map(|(_, value)| value);
            Ok(value.unwrap_or_else(|| Value::String(text.to_owned())))
        }
        Err(cause) if text.starts_with(['[', '{', '"', '\'']) => {
            Err(format!("the value is invalid TOML: {}", cause.message()))
        }
        Ok(_) | Err(_) => Ok(Value::String(text.to_owned())),
    }
}

fn issue(keys: &[String], message: &str, help: Option<String>, origin: Origin) -> Issues {
    Issues(vec![Issue { key: keys.join("."), message: message.to_owned(), help, origin }])
}

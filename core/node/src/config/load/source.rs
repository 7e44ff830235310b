//! The sources of a config.

use super::document::Document;
use super::service;
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
    /// All environment variables; those that begin with [`Self::PREFIX`] are config, unless Kubernetes sets them for a
    /// service.
    pub environment: Vec<(OsString, OsString)>,
    /// The settings of the command line in their order; a later one takes precedence.
    pub settings: Vec<Setting>,
}

/// One value from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key, as a dotted path.
    pub key: String,
    /// The value: text as it stands for a key that is text, else TOML.
    pub value: String,
    /// The flag, as messages name it.
    pub flag: String,
}

/// One variable or flag: a key, its text, and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) keys: Vec<String>,
    /// `None` if it is not UTF-8.
    pub(crate) text: Option<String>,
    pub(crate) origin: Origin,
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
            Ok(read) => Ok(Some(read)),
            Err(cause) => Err(Issue {
                key: String::new(),
                message: format!("invalid TOML: {}", cause.message),
                help: Some("expected lines such as `count = 3` below `[heads]`".to_owned()),
                origin: Origin::File(cause.place),
            }
            .into()),
        }
    }

    /// The variables that may be keys: not those of Kubernetes for its services.
    pub(crate) fn of_environment(&self) -> Vec<Given> {
        let named = self.environment.iter().filter_map(|(name, value)| Some((name.to_str()?, value)));
        let mut named: Vec<(&str, &OsString)> = named
            .filter(|(name, value)| {
                let is_config = name.starts_with(Self::PREFIX) && *name != Self::FILE_VARIABLE;
                is_config && !service::is_of_service(name, value)
            })
            .collect();
        named.sort_unstable();
        let given = |(name, value): (&str, &OsString)| Given {
            keys: name[Self::PREFIX.len()..].split("__").map(str::to_lowercase).collect(),
            text: value.to_str().map(str::to_owned),
            origin: Origin::Environment(name.to_owned()),
        };
        named.into_iter().map(given).collect()
    }

    /// The settings of the command line.
    pub(crate) fn of_command_line(&self) -> Vec<Given> {
        let given = |setting: &Setting| Given {
            keys: setting.key.split('.').map(str::to_owned).collect(),
            text: Some(setting.value.clone()),
            origin: Origin::Flag(setting.flag.clone()),
        };
        self.settings.iter().map(given).collect()
    }
}

impl Given {
    /// The path of the key.
    pub(crate) fn path(&self) -> KeyPath {
        self.keys.iter().fold(KeyPath::root(), |path, key| path.key(key))
    }
}

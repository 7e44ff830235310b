//! The arms: the ways in which one node program is configured. Each is a file of the directory `arms`.

use crate::server::Backend;
use serde::Deserialize;
use std::io;
use std::path::Path;
use toml::{Table, Value};

/// The arm of the shipped default.
pub(crate) const SHIPPED: &str = "shipped";
/// Where the files are, and the deployments' config files.
const ARMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/arms");
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config");
/// In a config of an arm it stands for the rate that saturates the server, as a whole number.
const BASE: &str = "{base}";
/// Of all nodes here: enough heads, and a cache that is full before the first step, so that memory is compared like with like.
const COMMON: &str = "
start_without_store = false
[heads]
count = 10
[engine.cache]
mib_max = 4
";

/// A file of an arm.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arm {
    /// The name of the file.
    #[serde(skip)]
    pub(crate) name: String,
    /// Its place among the arms.
    order: u32,
    /// Its name in charts and tables.
    pub(crate) title: String,
    /// What differs from the shipped default, and what is only approximated.
    pub(crate) what: String,
    /// Its colour in charts.
    pub(crate) colour: String,
    /// Whether a figure of safety that it misses fails the run.
    #[serde(default)]
    pub(crate) judged: bool,
    /// What must fail for the laboratory to be believed, by the names of verdicts: one of these at least. Empty if the arm is none of
    /// the baselines.
    #[serde(default)]
    pub(crate) must_miss: Vec<String>,
    /// What is put over the config of the deployment.
    #[serde(default)]
    config: Table,
    /// The same, for one backend.
    #[serde(default)]
    postgres: Table,
    #[serde(default)]
    redis: Table,
}

impl Arm {
    /// All arms, in their order.
    ///
    /// # Errors
    /// If a file is not one of an arm.
    pub(crate) fn all() -> io::Result<Vec<Self>> {
        let mut arms = Vec::new();
        for entry in std::fs::read_dir(ARMS)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".toml")) else {
                continue;
            };
            let wrong = |cause| io::Error::other(format!("{}: {cause}", path.display()));
            let arm: Self = toml::from_str(&std::fs::read_to_string(&path)?).map_err(wrong)?;
            arms.push(Self { name: name.to_owned(), ..arm });
        }
        arms.sort_by(|one, other| (one.order, &one.name).cmp(&(other.order, &other.name)));
        Ok(arms)
    }

    /// Whether it is one of those that must fail.
    pub(crate) fn is_baseline(&self) -> bool {
        !self.must_miss.is_empty()
    }

    /// The config of a node of this arm over the server at this port, where the server is saturated by `base` requests per second.
    ///
    /// # Errors
    /// If the config of the deployment cannot be read.
    pub(crate) fn config(&self, backend: Backend, port: u16, base: f64) -> io::Result<Table> {
        let mut config = deployment(backend, port)?;
        put_over(&mut config, toml::from_str(COMMON).map_err(io::Error::other)?);
        put_over(&mut config, self.config.clone());
        put_over(
            &mut config,
            match backend {
                Backend::Postgres => self.postgres.clone(),
                Backend::Redis => self.redis.clone(),
            },
        );
        config.iter_mut().for_each(|(_, value)| fill_in(value, base));
        Ok(config)
    }
}

/// The config of the deployment, with the server at this port.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn deployment(backend: Backend, port: u16) -> io::Result<Table> {
    let file = Path::new(CONFIG).join(format!("{}.toml", backend.name()));
    let mut config: Table = toml::from_str(&std::fs::read_to_string(file)?).map_err(io::Error::other)?;
    let user = match backend {
        Backend::Postgres => format!("user = \"{}\"", crate::server::NODE),
        Backend::Redis => String::new(),
    };
    let hosts = format!("[store]\nhosts = [\"127.0.0.1:{port}\"]\n{user}");
    put_over(&mut config, toml::from_str(&hosts).map_err(io::Error::other)?);
    Ok(config)
}

/// Puts the values of a table over those of another; tables are merged, lists are replaced.
fn put_over(config: &mut Table, over: Table) {
    for (key, value) in over {
        match (config.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => put_over(below, above),
            (_, value) => drop(config.insert(key, value)),
        }
    }
}

/// Replaces [`BASE`] wherever it stands.
fn fill_in(value: &mut Value, base: f64) {
    match value {
        Value::String(text) if text == BASE => *value = Value::Integer(base.round().max(1.0) as i64),
        Value::Array(values) => values.iter_mut().for_each(|value| fill_in(value, base)),
        Value::Table(table) => table.iter_mut().for_each(|(_, value)| fill_in(value, base)),
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_an_arm_and_the_shipped_one_comes_first() {
        let arms = Arm::all().unwrap();
        assert_eq!(arms[0].name, SHIPPED);
        assert!(arms.len() >= 8 && !arms[0].is_baseline());
        assert!(arms.iter().filter(|arm| arm.is_baseline()).count() >= 2);
        for arm in &arms {
            assert!(arm.colour.starts_with('#') && arm.what.ends_with('.'), "{}", arm.name);
            for backend in [Backend::Postgres, Backend::Redis] {
                let config = arm.config(backend, 7, 100.0).unwrap();
                assert_eq!(config["store"]["kind"].as_str(), Some(backend.name()), "{}", arm.name);
                assert!(!config.to_string().contains(BASE), "{}", arm.name);
            }
        }
    }

    #[test]
    fn tables_are_merged_and_lists_are_replaced() {
        let mut below: Table = toml::from_str("a = 1\nlist = [1, 2]\n[t]\nb = 2\nc = 3\n").unwrap();
        put_over(&mut below, toml::from_str("list = [\"{base}\"]\n[t]\nc = 4\n[u]\nd = 5\n").unwrap());
        below.iter_mut().for_each(|(_, value)| fill_in(value, 140.4));
        let expected = "a = 1\nlist = [140]\n[t]\nb = 2\nc = 4\n[u]\nd = 5\n";
        assert_eq!(below, toml::from_str::<Table>(expected).unwrap());
    }
}

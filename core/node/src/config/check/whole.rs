//! Checks a whole config: by the schemas of its tables, by their types, and by the rules about several keys.

use super::lookup::{self, Spot};
use super::problem::Problem;
use super::refused::refused;
use super::words::{shown, wanted};
use super::{plugins, rules, schema};
use crate::config::path::{KeyPath, Step};
use crate::config::tables::Config;
use crate::config::unfit;
use hydra_api::{Admission, Ids, Registry, Role, Store};
use serde_json::{Map, Value};

/// Values that are refused by their types, at most: each takes a pass over the config.
const REFUSED_MAX: usize = 256;

/// The problems of `values`, and the config. Where a value has a problem, the config has the default, or an item less.
pub(in crate::config) fn whole(
    registry: &Registry,
    core: &Value,
    defaults: &Map<String, Value>,
    values: &mut Value,
) -> (Option<Config>, Vec<Problem>, Removed) {
    let mut removed = Removed::default();
    let mut problems = Vec::new();
    without_form(registry, core, values, &mut problems);
    let mut fit = values.clone();
    problems.iter().for_each(|problem: &Problem| mend(&mut fit, defaults, &problem.path));
    let known = problems.len();
    problems.extend(schema::check(core, &fit, &KeyPath::root()));
    plugins::check(registry, &mut fit, &mut problems);
    if problems.is_empty() {
        *values = fit.clone();
    }
    problems.iter().skip(known).for_each(|problem| mend(&mut fit, defaults, &problem.path));
    let config = typed(registry, core, defaults, fit, (&mut problems, &mut removed));
    if let Some(config) = &config {
        let sound = |rule: &Problem| {
            let other = rule.other.as_ref().map(|(path, _)| path);
            !problems.iter().any(|problem| {
                [Some(&rule.path), other].into_iter().flatten().any(|key| problem.concerns(key))
            })
        };
        let at = |rule: Problem| Problem { path: removed.original(&rule.path), ..rule };
        let broken: Vec<_> = rules::check(config).into_iter().map(at).filter(sound).collect();
        problems.extend(broken);
    }
    (config, problems, removed)
}

/// The values that TOML has and no key takes.
fn without_form(registry: &Registry, core: &Value, values: &Value, problems: &mut Vec<Problem>) {
    let mut left = vec![(KeyPath::root(), values)];
    while let Some((path, value)) = left.pop() {
        match value {
            value if unfit::text(value).is_some() => {
                let spot = lookup::spot(registry, core, values, &path);
                let help =
                    spot.and_then(|Spot { schema, at }| Some(format!("expected {}", wanted(&schema, &at)?)));
                let message = format!("{} is not accepted", shown(&path.to_string(), value));
                problems.push(Problem::of_value(path, message, help));
            }
            Value::Object(table) => left.extend(table.iter().map(|(key, value)| (path.key(key), value))),
            Value::Array(items) => {
                left.extend(items.iter().enumerate().map(|(item, value)| (path.item(item), value)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// The config, and what its types refuse.
fn typed(
    registry: &Registry,
    core: &Value,
    defaults: &Map<String, Value>,
    mut values: Value,
    (problems, removed): (&mut Vec<Problem>, &mut Removed),
) -> Option<Config> {
    for _ in 0..REFUSED_MAX {
        let issue = match serde_path_to_error::deserialize::<_, Config>(&values) {
            Ok(config) => return Some(config),
            Err(issue) => issue,
        };
        let path = KeyPath::of_dotted(&issue.path().to_string());
        let value = lookup::value(&values, &path).cloned().unwrap_or_default();
        let spot = lookup::spot(registry, core, &values, &path);
        problems.push(refused(removed.original(&path), spot.as_ref(), &value, &issue.inner().to_string()));
        if path.steps().is_empty() || !removed.take(&mut values, &path) {
            mend(&mut values, defaults, &path);
        }
    }
    None
}

/// Items that were taken out of their lists, so that those behind them are looked at too.
#[derive(Debug, Default)]
pub(in crate::config) struct Removed(Vec<(KeyPath, usize)>);

impl Removed {
    /// Takes the item at `path` out of its list; false if it is none.
    fn take(&mut self, values: &mut Value, path: &KeyPath) -> bool {
        let original = self.original(path);
        let (Some(Step::Item(item)), Some(list)) = (path.steps().last(), path.parent()) else { return false };
        let Some(Value::Array(items)) = value_mut(values, &list) else { return false };
        if *item >= items.len() {
            return false;
        }
        items.remove(*item);
        if let Some(Step::Item(place)) = original.steps().last() {
            self.0.push((list, *place));
            self.0.sort();
        }
        true
    }

    /// The path before any item was taken out.
    pub(in crate::config) fn original(&self, path: &KeyPath) -> KeyPath {
        let (Some(Step::Item(item)), Some(list)) = (path.steps().last(), path.parent()) else {
            return path.clone();
        };
        let before = self.0.iter().filter(|(known, _)| *known == list);
        let place =
            before.fold(*item, |place, (_, removed)| if *removed <= place { place + 1 } else { place });
        list.item(place)
    }
}

/// Puts the default in the place of a value that has a problem.
fn mend(values: &mut Value, defaults: &Map<String, Value>, path: &KeyPath) {
    let Some(Step::Key(first)) = path.steps().first() else { return };
    let is_plugin = [Store::NAME, Ids::NAME, Admission::NAME].contains(&first.as_str());
    let keys = match is_plugin {
        // The node itself reads `kind` and `mode` alone.
        true => 1,
        false => path.steps().iter().take_while(|step| matches!(step, Step::Key(_))).count(),
    };
    let is_read = path.steps().len() == 1
        || matches!(path.steps().last(), Some(Step::Key(key)) if key == "kind" || key == "mode");
    if is_plugin && !is_read && !matches!(path.steps(), [_, Step::Item(_)]) {
        return;
    }
    let key = path.steps().iter().take(keys).fold(KeyPath::root(), |path, step| match step {
        Step::Key(key) => path.key(key),
        Step::Item(item) => path.item(*item),
    });
    let default = key.steps().iter().try_fold(None::<&Value>, |at, step| match (at, step) {
        (None, Step::Key(key)) => defaults.get(key).map(Some),
        (Some(at), Step::Key(key)) => at.get(key).map(Some),
        (_, Step::Item(_)) => None,
    });
    let default = default.flatten().cloned();
    let Some((Step::Key(last), above)) = key.steps().split_last() else { return };
    let mut table = Some(values);
    for step in above {
        let Step::Key(key) = step else { return };
        table = table.and_then(|table| table.get_mut(key));
    }
    let Some(Value::Object(table)) = table else { return };
    match default {
        Some(default) => drop(table.insert(last.clone(), default)),
        None => drop(table.remove(last)),
    }
}

fn value_mut<'v>(values: &'v mut Value, path: &KeyPath) -> Option<&'v mut Value> {
    path.steps().iter().try_fold(values, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Item(item) => value.get_mut(*item),
    })
}

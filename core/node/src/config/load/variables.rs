//! Environment variables that begin as those of the config and are no key.

use super::layers::Layers;
use super::source::Given;
use super::{Fault, Problem, Sources, lookup, suggest, words};
use crate::config::issue::{Issue, Origin};
use crate::config::path::KeyPath;
use hydra_api::Registry;
use serde_json::{Map, Value};

/// Takes out the variables whose first word is no table or key of the config. Those of another program are among them.
pub(super) fn take_strangers(
    registry: &Registry,
    core: &Value,
    defaults: &Map<String, Value>,
    environment: &mut Vec<Given>,
) -> Vec<Issue> {
    let known = words::properties(core, core);
    let is_known = |given: &Given| given.keys.first().is_some_and(|key| known.contains(&key.as_str()));
    let strangers: Vec<Given> = environment.extract_if(.., |given| !is_known(given)).collect();
    if strangers.is_empty() {
        return Vec::new();
    }
    let keys = lookup::keys(registry, core, &Value::Object(defaults.clone()));
    strangers.into_iter().map(|given| issue(&given, advice(&given, &keys))).collect()
}

/// Takes out the variables that name an unknown key of a known table, or a key below one that is no table.
pub(super) fn take_unknown(
    layers: &Layers,
    problems: &[Problem],
    environment: &mut Vec<Given>,
) -> Vec<Issue> {
    let mut issues = Vec::new();
    for problem in problems {
        let Origin::Environment(name) = layers.origin(&problem.path, problem.part) else { continue };
        let is_unknown = |given: &Given| {
            let path = given.path();
            let below = problem.path.leads_to(&path) && problem.path != path;
            let at = problem.path.leads_to(&path);
            given.origin == Origin::Environment(name.clone())
                && match problem.fault {
                    Fault::UnknownKey => at,
                    Fault::NoTable => below,
                    Fault::MissingKey | Fault::Value => false,
                }
        };
        issues.extend(environment.extract_if(.., |given| is_unknown(given)).map(|given| Issue {
            key: given.path().to_string(),
            ..issue(&given, problem.help.clone().filter(|_| problem.fault == Fault::UnknownKey))
        }));
    }
    issues
}

fn issue(given: &Given, help: Option<String>) -> Issue {
    let message = "unknown key".to_owned();
    Issue { key: given.keys.join("."), message, help, origin: given.origin.clone() }
}

/// The variable that was meant, spelled with one underscore instead of two for example.
fn advice(given: &Given, keys: &[KeyPath]) -> Option<String> {
    let flat = |name: &str| name.replace("__", "_").to_lowercase();
    let variable = |path: &KeyPath| {
        let words = path.to_string().replace('.', "__");
        format!("{}{}", Sources::PREFIX, words.to_uppercase())
    };
    let Origin::Environment(name) = &given.origin else { return None };
    let variables: Vec<String> = keys.iter().map(variable).collect();
    let flattened: Vec<String> = variables.iter().map(|name| flat(name)).collect();
    let wanted = flat(name);
    let is_near = |word: &&str| strsim::damerau_levenshtein(&wanted, word) <= 2;
    let near = suggest::nearest(&wanted, flattened.iter().map(String::as_str)).filter(is_near);
    let near = near.and_then(|near| variables.iter().find(|name| flat(name) == near));
    Some(match near {
        Some(variable) => format!("did you mean `{variable}`?"),
        None => format!(
            "variables of the config are the keys with two underscores between table and key, such as `{}HEADS__COUNT`",
            Sources::PREFIX
        ),
    })
}

//! What is wrong with a config: by the schemas of its tables and of the plugins, and by rules about several keys.

pub(super) mod nested;
mod plugins;
mod problem;
mod rules;
mod schema;
pub(super) mod suggest;
pub(super) mod words;

pub(super) use plugins::check as plugins;
pub(super) use problem::{Part, Problem};
pub(super) use rules::check as rules;
pub(super) use schema::check as schema;

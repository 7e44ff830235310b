//! What is wrong with a config: by the schemas of its tables and of the plugins, and by rules about several keys.

pub(super) mod lookup;
pub(super) mod nested;
mod plugins;
mod problem;
mod refused;
mod rules;
mod schema;
pub(super) mod suggest;
mod whole;
pub(super) mod words;

pub(super) use problem::{Fault, Part, Problem};
pub(super) use whole::{Removed, whole};

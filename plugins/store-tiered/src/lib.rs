//! The store `tiered`: several stores in a list, fastest first. Reads go down the list and fill it upwards, and the last store
//! decides what is true.

mod addresses;
mod config;
mod figures;
mod fill;
mod health;
mod insert;
mod marks;
mod open;
mod read;
mod report;
mod store;
mod table;
mod tiers;
mod upkeep;
mod upper;
mod values;

pub use config::{Config, Writes};
pub use store::Tiered;

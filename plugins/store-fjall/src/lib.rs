//! The embedded store of provider records: over fjall, in a directory, no server needed.

mod complete;
mod config;
mod delete;
mod engine;
mod fault;
mod filter;
mod insert;
mod keeper;
mod layout;
mod open;
mod pass;
mod providers;
mod purge;
mod read;
mod readers;
mod scan;
mod store;
mod value_counts;
mod values;
mod version;
mod watchdog;
mod writer;

pub use config::Config;
pub use store::Fjall;

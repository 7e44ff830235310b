//! An embedded store of provider records: over sled, in a directory, no server needed.
//!
//! The README tells its bill in memory, disk and time; the store `fjall` is the better one for nearly everybody.

mod config;
mod delete;
mod engine;
mod fault;
mod insert;
mod keeper;
mod layout;
mod open;
mod purge;
mod read;
mod scan;
mod store;
mod unflushed;
mod value_tree;
mod values;

pub use config::Config;
pub use store::Sled;

//! A store of provider and value records in memory: fast, bounded in bytes, gone with the process.

mod config;
mod providers;
mod room;
mod scan;
mod shard;
mod store;
mod values;

pub use config::Config;
pub use store::Memory;

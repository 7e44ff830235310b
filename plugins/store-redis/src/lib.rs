//! The store `redis`: provider and value records in Redis 6.2 or later or in Valkey, shared by all nodes that use the same prefix.

mod change;
mod config;
mod delete;
mod estimate;
mod insert;
mod keyspace;
mod layout;
mod lease;
mod memory;
mod net;
mod peers;
mod plain;
mod purge;
mod read;
mod scan;
mod scripts;
mod store;
mod survey;
mod values;

pub use config::{Config, Mode, Scripts, Sentinel, Tls, TlsMode};
pub use store::Redis;

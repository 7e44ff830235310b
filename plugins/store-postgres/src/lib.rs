//! The store `postgres`: provider and value records in PostgreSQL 14 or later, shared by all nodes that use the same schema.

mod catalogue;
mod config;
mod connections;
mod delete;
mod estimate;
mod fault;
mod import;
mod insert;
mod peers;
mod purge;
mod read;
mod scan;
mod schema;
mod store;
mod survey;
mod time;
mod value_table;
mod values;

pub use config::{Config, Migrate, Prepared, Target, Tls, TlsMode};
pub use import::HydraBooster;
pub use store::Postgres;

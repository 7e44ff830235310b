//! An embedded store of provider records: over sled, in a directory, no server needed.
//!
//! The README tells its bill in memory, disk and time; the store `fjall` is the better one for nearly everybody.

mod config;
mod fault;
mod insert;
mod layout;
mod open;
mod providers;
mod purge;
mod read;
mod store;

pub use config::Config;
pub use store::Sled;

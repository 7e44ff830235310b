//! A process that serves many Kademlia DHT identities over one store of provider records.
//!
//! [`run`] is the whole program; what it can do, its command line tells. A program with plugins of its own:
//!
//! ```no_run
//! use hydra_api::Registry;
//!
//! fn main() -> std::process::ExitCode {
//!     let mut registry = Registry::default();
//!     // hydra_bundle::add_all(&mut registry);
//!     // registry.add::<Mine>();
//!     hydra_node::run(registry, std::env::args_os())
//! }
//! ```

pub mod address;
mod announcer;
mod book;
mod budget;
mod cli;
pub mod config;
pub mod crowd;
mod files;
mod head;
mod http;
pub mod kad_id;
mod keeper;
pub mod lookup;
mod metrics;
pub mod node;
mod scout;
mod service;
mod small;
mod sockets;
mod supervise;
mod swarm;
pub mod table;
pub mod telemetry;
mod traces;
pub mod uniques;
mod vitals;

use hydra_api::Registry;
use std::ffi::OsString;
use std::process::ExitCode;

/// The whole program: reads the command line and the config, and does what they say.
///
/// The exit code is 0 when that is done, 1 when it failed, and 2 when the config or the command line is wrong.
pub fn run(registry: Registry, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::main(registry, args)
}

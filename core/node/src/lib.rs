//! A process that serves many Kademlia DHT identities over one store.

pub mod config;

use hydra_api::Registry;
use std::ffi::OsString;
use std::process::ExitCode;

/// The whole program: reads the command line and the config, and does what they say.
pub fn run(_registry: Registry, _args: impl IntoIterator<Item = OsString>) -> ExitCode {
    ExitCode::SUCCESS
}

//! Commands that a program adds to those of the node.

use clap::{ArgMatches, Command};
use std::fmt;
use std::process::ExitCode;

/// A command that a program adds to those of the node: it is listed in the help and in the completions, and reads no
/// config.
pub struct ExtraCommand {
    pub(super) command: Command,
    pub(super) run: fn(&ArgMatches) -> ExitCode,
}

impl ExtraCommand {
    /// A command with this name and these arguments; `run` executes it and returns the exit code.
    pub const fn new(command: Command, run: fn(&ArgMatches) -> ExitCode) -> Self {
        Self { command, run }
    }
}

impl fmt::Debug for ExtraCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExtraCommand").field(&self.command.get_name()).finish()
    }
}

//! `hydra completions`: scripts for shells.

use super::args::Invocation;
use super::{Failure, Output};
use clap::CommandFactory;
use clap_complete::Shell;

/// Prints the script for one shell.
pub(crate) fn completions(shell: Shell, out: &mut Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Invocation::command(), "hydra", &mut script);
    Ok(out.text(String::from_utf8_lossy(&script))?)
}

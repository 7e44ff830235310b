//! `hydra completions`: scripts for shells.

use super::{Failure, Output};
use clap_complete::Shell;

/// Prints the script for one shell and all commands of the program.
pub(crate) fn completions(shell: Shell, mut program: clap::Command, out: &mut Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, "hydra", &mut script);
    Ok(out.text(String::from_utf8_lossy(&script))?)
}

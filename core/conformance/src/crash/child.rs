//! The test binary as the process that is killed, or that opens a damaged store.

use crate::check::Broken;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ROLE: &str = "HYDRA_CRASH_ROLE";
const NUMBER: &str = "HYDRA_CRASH_NUMBER";
const DIR: &str = "HYDRA_CRASH_DIR";
const FIRST: &str = "HYDRA_CRASH_FIRST";

/// What a child does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Which of the stores of the binary it opens.
    pub(super) number: usize,
    pub(super) dir: PathBuf,
    pub(super) role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Inserts batches from this one on until it is killed.
    Insert { first: u64 },
    /// Opens a damaged store as a node does, and looks at what it returns.
    Serve,
    /// Opens a damaged store to look at its records.
    Use,
}

impl Part {
    /// The part of this process; `None` when it is no child.
    pub(super) fn of_this_process() -> Option<Self> {
        let number = |name| std::env::var(name).ok().and_then(|value| value.parse().ok());
        let role = match std::env::var(ROLE).ok()?.as_str() {
            "insert" => Role::Insert { first: number(FIRST)? },
            "use" => Role::Use,
            _ => Role::Serve,
        };
        let dir = std::env::var_os(DIR)?.into();
        Some(Self { number: usize::try_from(number(NUMBER)?).ok()?, dir, role })
    }

    /// The command that runs this binary in this part, with what it prints piped.
    pub(super) fn command(number: usize, dir: &Path, role: Role) -> Result<Command, Broken> {
        let this = std::env::current_exe().map_err(super::failed("this binary cannot be run again"))?;
        let mut command = Command::new(this);
        command.env(DIR, dir).env(NUMBER, number.to_string());
        match role {
            Role::Insert { first } => command.env(ROLE, "insert").env(FIRST, first.to_string()),
            Role::Serve => command.env(ROLE, "serve"),
            Role::Use => command.env(ROLE, "use"),
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(command)
    }
}

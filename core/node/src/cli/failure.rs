//! How a command fails: what is told on standard error, and the exit code.

use crate::backends::OpenBackendsError;
use crate::config::{Drawn, Issue, Issues};
use hydra_api::Causes;
use miette::{GraphicalReportHandler, GraphicalTheme};
use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Why a command ended without having done its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The config is wrong: exit code 2.
    Config(Issues),
    /// What the command line asks for makes no sense: exit code 2.
    Usage(String),
    /// The work did not succeed: exit code 1. What was tried, and why not.
    Failed(String),
}

const FAILED: u8 = 1;
const WRONG: u8 = 2;

impl Failure {
    /// `what` did not succeed because of `cause`.
    pub(crate) fn failed(what: &str, cause: impl Error + 'static) -> Self {
        Self::Failed(format!("{what}: {}", Causes(&cause)))
    }

    /// Tells it on standard error and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (text, code) = match &self {
            Self::Config(Issues(issues)) => (issues.iter().map(told).collect::<Vec<_>>().join("\n"), WRONG),
            Self::Usage(message) => (format!("error: {message}"), WRONG),
            Self::Failed(message) => (format!("error: {message}"), FAILED),
        };
        to_stderr(&text);
        ExitCode::from(code)
    }
}

/// Shows clap's answer: help and version are no failure.
pub(crate) fn usage(answer: &clap::Error) -> ExitCode {
    let printed = answer.print();
    let wrong = answer.use_stderr();
    // A reader that has gone away is no failure of ours.
    if printed.is_err() || !wrong { ExitCode::SUCCESS } else { ExitCode::from(WRONG) }
}

/// An issue in colour with its line for a terminal, and as one line elsewhere.
fn told(issue: &Issue) -> String {
    if !io::stderr().is_terminal() {
        return format!("error: {issue}");
    }
    let theme = match std::env::var_os("NO_COLOR") {
        Some(set) if !set.is_empty() => GraphicalTheme::unicode_nocolor(),
        _ => GraphicalTheme::unicode(),
    };
    let mut drawn = String::new();
    match GraphicalReportHandler::new_themed(theme).render_report(&mut drawn, &Drawn::new(issue)) {
        Ok(()) => drawn,
        Err(_) => format!("error: {issue}"),
    }
}

fn to_stderr(text: &str) {
    // There is nobody left to tell that standard error is closed.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

impl From<Issues> for Failure {
    fn from(issues: Issues) -> Self {
        Self::Config(issues)
    }
}

impl From<OpenBackendsError> for Failure {
    fn from(error: OpenBackendsError) -> Self {
        match error {
            OpenBackendsError::Config(issues) => Self::Config(issues),
            other => Self::Failed(Causes(&other).to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(cause: io::Error) -> Self {
        Self::failed("cannot write to standard output", cause)
    }
}

//! How a command fails: its message on standard error, and the exit code.

use crate::config::{Drawn, Issue, Issues, text_concealed};
use crate::node::backends::OpenBackendsError;
use hydra_api::{Causes, OpenErrorKind, StoreError, StoreErrorKind};
use miette::{GraphicalReportHandler, GraphicalTheme};
use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The config is invalid: exit code 2.
    Config(Issues),
    /// An argument is invalid: exit code 2.
    Usage(String),
    /// A backend cannot be reached, or is in use: exit code 3. It may be later.
    Unavailable(String),
    /// The work failed: exit code 1. The text names the operation and the causes.
    Failed(String),
}

const FAILED: u8 = 1;
const WRONG: u8 = 2;
const UNAVAILABLE: u8 = 3;

impl Failure {
    /// `what` failed because of `cause`.
    pub(crate) fn failed(what: &str, cause: impl Error + 'static) -> Self {
        Self::Failed(format!("{what}: {}", Causes(&cause)))
    }

    /// The call `what` of a store failed.
    pub(crate) fn of_store(what: &str, error: &StoreError) -> Self {
        if error.is_not_supported() {
            return Self::Failed(format!("{what}: the store does not support it"));
        }
        let text = format!("{what}: {}", Causes(error));
        match error.kind() {
            StoreErrorKind::Unavailable | StoreErrorKind::Overloaded => Self::Unavailable(text),
            _ => Self::Failed(text),
        }
    }

    /// Prints the failure to standard error and returns the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (text, code) = match &self {
            Self::Config(Issues(issues)) => (issues.iter().map(shown).collect::<Vec<_>>().join("\n"), WRONG),
            Self::Usage(message) => (format!("error: {message}"), WRONG),
            Self::Unavailable(message) => (format!("error: {message}"), UNAVAILABLE),
            Self::Failed(message) => (format!("error: {message}"), FAILED),
        };
        to_stderr(&text_concealed(&text));
        ExitCode::from(code)
    }
}

/// Prints clap's answer; help and version are not failures.
pub(crate) fn usage(answer: &clap::Error) -> ExitCode {
    let printed = answer.print();
    let wrong = answer.use_stderr();
    // A closed standard output is not a failure of this program.
    if printed.is_err() || !wrong { ExitCode::SUCCESS } else { ExitCode::from(WRONG) }
}

/// Prints a warning to standard error.
pub(crate) fn warn(issue: &Issue) {
    to_stderr(&text_concealed(&format!("warning: {issue}")));
}

/// An issue with its line of the file, in colour, on a terminal; one line elsewhere.
fn shown(issue: &Issue) -> String {
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
    // A closed standard error cannot be reported anywhere.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

impl From<Issues> for Failure {
    fn from(issues: Issues) -> Self {
        Self::Config(issues)
    }
}

/// Whether a file may not be used by this user. Then nothing is away that may come back: the rights are to be changed.
pub(super) fn is_forbidden(error: &(dyn Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let mut causes = causes.filter_map(|error| error.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::PermissionDenied)
}

impl From<OpenBackendsError> for Failure {
    fn from(error: OpenBackendsError) -> Self {
        match error {
            OpenBackendsError::Config(issues) => Self::Config(issues),
            OpenBackendsError::Open { ref source, .. }
                if *source.kind() == OpenErrorKind::Unavailable && !is_forbidden(source) =>
            {
                Self::Unavailable(Causes(&error).to_string())
            }
            error @ OpenBackendsError::TooLate { .. } => Self::Unavailable(error.to_string()),
            other => Self::Failed(Causes(&other).to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(cause: io::Error) -> Self {
        Self::failed("cannot write to standard output", cause)
    }
}

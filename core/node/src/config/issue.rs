//! Errors in a config and their places.

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// One error in a config.
#[derive(Debug, Clone)]
pub struct Issue {
    /// The key, as a dotted path; empty if the error is about the whole config.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// A suggestion.
    pub help: Option<String>,
    /// The source of the value.
    pub origin: Origin,
}

/// All errors in a config; at least one.
#[derive(Debug, Clone)]
pub struct Issues(pub Vec<Issue>);

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The built-in default.
    Default,
    /// A place in the config file.
    File(Place),
    /// The config file as a whole.
    WholeFile(String),
    /// An environment variable, by its name.
    Environment(String),
    /// A flag of the command line, without its value.
    Flag(String),
}

/// A place in a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    name: Arc<str>,
    text: Arc<str>,
    span: Range<usize>,
}

impl Place {
    pub(crate) fn new(name: Arc<str>, text: Arc<str>, span: Range<usize>) -> Self {
        let end = span.end.min(text.len());
        Self { span: span.start.min(end)..end, name, text }
    }

    /// The path of the file, as given.
    pub fn file(&self) -> &str {
        &self.name
    }

    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.before().matches('\n').count() + 1
    }

    /// The column in characters, from 1.
    pub fn column(&self) -> usize {
        let before = self.before();
        let line = before.rsplit('\n').next().unwrap_or(before);
        line.chars().count() + 1
    }

    fn before(&self) -> &str {
        self.text.get(..self.span.start).unwrap_or_default()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.name, self.line(), self.column())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => place.fmt(f),
            Self::WholeFile(name) => f.write_str(name),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// One line: place, key, message, suggestion. A default has no place.
impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, self.key.is_empty()) {
            (Origin::Default, true) => {}
            (Origin::Default, false) => write!(f, "{} (its default): ", self.key)?,
            (origin, true) => write!(f, "{origin}: ")?,
            (origin, false) => write!(f, "{origin}: {}: ", self.key)?,
        }
        f.write_str(&self.message)?;
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

impl std::error::Error for Issue {}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, issue) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            issue.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Issues {}

impl From<Issue> for Issues {
    fn from(issue: Issue) -> Self {
        Self(vec![issue])
    }
}

/// An issue for a terminal, drawn by miette: the line of the file with the key underlined.
#[derive(Debug)]
pub(crate) struct Drawn<'i> {
    issue: &'i Issue,
    source: Option<NamedSource<String>>,
}

impl<'i> Drawn<'i> {
    pub(crate) fn new(issue: &'i Issue) -> Self {
        let source = match &issue.origin {
            Origin::File(place) => Some(NamedSource::new(place.file(), place.text.to_string())),
            _ => None,
        };
        Self { issue, source }
    }
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Issue { key, message, origin, .. } = self.issue;
        if !matches!(origin, Origin::File(_) | Origin::Default) {
            write!(f, "{origin}: ")?;
        }
        if key.is_empty() { f.write_str(message) } else { write!(f, "{key}: {message}") }
    }
}

impl std::error::Error for Drawn<'_> {}

impl Diagnostic for Drawn<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.issue.help.as_ref()?;
        Some(Box::new(help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let Origin::File(place) = &self.issue.origin else { return None };
        let label = LabeledSpan::new(Some("here".to_owned()), place.span.start, place.span.len());
        Some(Box::new(std::iter::once(label)))
    }
}

//! What a case says when a rule is broken.

use hydra_api::{IdError, OpenError, StoreError};
use std::error::Error;
use std::fmt;

/// How a rule was broken, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken(String);

/// How a case that broke no rule has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The rule was put to the test.
    Shown,
    /// The rule does not apply to this plugin, and why.
    NotApplicable(&'static str),
}

pub(crate) type Outcome = Result<Kept, Broken>;

impl Broken {
    /// Broken in this way.
    pub fn new(how: impl Into<String>) -> Self {
        Self(how.into())
    }

    fn by(what: &str, error: &dyn Error) -> Self {
        let mut how = format!("{what}: {error}");
        let mut source = error.source();
        while let Some(error) = source {
            how.push_str(&format!(": {error}"));
            source = error.source();
        }
        Self(how)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::by("the store failed", &error)
    }
}
impl From<OpenError> for Broken {
    fn from(error: OpenError) -> Self {
        Self::by("it did not open", &error)
    }
}
impl From<IdError> for Broken {
    fn from(error: IdError) -> Self {
        Self::by("the allocator failed", &error)
    }
}

/// Leaves the case with [`Broken`] unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($how:tt)+) => {
        if !$condition {
            return Err($crate::Broken::new(format!($($how)+)));
        }
    };
}

/// Leaves the case with [`Broken`] unless both sides are equal, and shows them.
macro_rules! ensure_eq {
    ($left:expr, $right:expr, $($what:tt)+) => {{
        let (left, right) = (&$left, &$right);
        if left != right {
            let what = format!($($what)+);
            return Err($crate::Broken::new(format!("{what}: it is {left:?}, and should be {right:?}")));
        }
    }};
}

pub(crate) use {ensure, ensure_eq};

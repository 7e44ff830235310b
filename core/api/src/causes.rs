//! An error with all its causes, in one line.

use std::error::Error;
use std::fmt;

/// Shows an error and the causes below it, down to the root: `insert: the store is unavailable: No space left on
/// device (os error 28)`. A cause that its effect already spells out is not repeated. At most [`Self::DEPTH_MAX`]
/// causes are shown.
///
/// For log lines; an error's own `Display` shows itself alone.
#[derive(Clone, Copy)]
pub struct Causes<'a>(pub &'a (dyn Error + 'static));

impl Causes<'_> {
    /// How many causes are shown.
    pub const DEPTH_MAX: usize = 16;
}

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut below = self.0.source();
        for _ in 0..Self::DEPTH_MAX {
            let Some(cause) = below else { break };
            let next = cause.to_string();
            if !said.ends_with(&next) {
                write!(f, ": {next}")?;
            }
            said = next;
            below = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StoreError, StoreErrorKind};

    #[test]
    fn the_root_cause_is_shown_and_nothing_twice() {
        let root = std::io::Error::from_raw_os_error(28);
        let error = StoreError::because(StoreErrorKind::Unavailable, "insert", root);
        let outer = StoreError::because(StoreErrorKind::Unavailable, "tiered", error);
        assert_eq!(
            Causes(&outer).to_string(),
            "tiered: the store is unavailable: insert: the store is unavailable: No space left on device (os error 28)"
        );
        assert_eq!(Causes(&std::fmt::Error).to_string(), std::fmt::Error.to_string());
    }
}

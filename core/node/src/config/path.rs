//! The path of a value in a config.

use std::fmt;

/// The path of a value from the root: `admission[0].burst`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KeyPath(Vec<Step>);

/// One step of a [`KeyPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Into a table.
    Key(String),
    /// Into a list, from 0.
    Item(usize),
}

impl KeyPath {
    /// The whole config.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The path of a JSON pointer (RFC 6901); a number is the index of a list item.
    pub fn of_pointer(pointer: &str) -> Self {
        let steps = pointer.split('/').skip(1).map(|step| match step.parse() {
            Ok(item) => Step::Item(item),
            Err(_) => Step::Key(step.replace("~1", "/").replace("~0", "~")),
        });
        Self(steps.collect())
    }

    /// The path of dotted text: `a.b[0].c`; `.` and the empty text are the root.
    pub fn of_dotted(text: &str) -> Self {
        let mut steps = Vec::new();
        for part in text.split('.').filter(|part| !part.is_empty()) {
            let mut pieces = part.split('[');
            steps.extend(pieces.next().filter(|key| !key.is_empty()).map(|key| Step::Key(key.to_owned())));
            let items = pieces.filter_map(|piece| piece.strip_suffix(']')?.parse().ok());
            steps.extend(items.map(Step::Item));
        }
        Self(steps)
    }

    /// The steps, from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// This path, extended by a key.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// This path, extended by a list item.
    #[must_use]
    pub fn item(&self, item: usize) -> Self {
        self.with(Step::Item(item))
    }

    /// This path, extended by `rest`.
    #[must_use]
    pub fn join(&self, rest: &Self) -> Self {
        Self(self.0.iter().chain(&rest.0).cloned().collect())
    }

    /// The parent path; `None` at the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.0.split_last()?;
        Some(Self(above.to_vec()))
    }

    /// True if `self` is `other` or one of its parents.
    pub fn leads_to(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    fn with(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if index == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Item(item) => write!(f, "[{item}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_dotted_text_give_the_same_path() {
        let path = KeyPath::root().key("admission").item(0).key("a/b");
        assert_eq!(KeyPath::of_pointer("/admission/0/a~1b"), path);
        assert_eq!(KeyPath::of_dotted("admission[0].a/b"), path);
        assert_eq!(path.to_string(), "admission[0].a/b");
        assert_eq!(KeyPath::of_dotted("."), KeyPath::root());
    }
}

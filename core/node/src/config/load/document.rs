//! A TOML file, and the place of each key in it.

use super::toml_value;
use crate::config::check::Part;
use crate::config::issue::Place;
use crate::config::path::{KeyPath, Step};
use serde_json::{Map, Value};
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// A parsed TOML file.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    name: Arc<str>,
    text: Arc<str>,
}

/// A syntax error in a TOML file.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) message: String,
    pub(crate) place: Place,
}

impl Document {
    /// Parses `text`; messages call it `name`.
    pub(crate) fn parse(name: &str, text: String) -> Result<(Self, Map<String, Value>), SyntaxError> {
        let document = Self { name: name.into(), text: text.into() };
        let parsed = DeTable::parse(&document.text).map(|table| toml_value::table(table.get_ref()));
        match parsed {
            Ok(values) => Ok((document, values)),
            Err(cause) => Err(SyntaxError {
                message: cause.message().to_owned(),
                place: document.at(cause.span().unwrap_or_default()),
            }),
        }
    }

    /// The place of `path`, or of the nearest parent in the file; `None` if the file has no parent of it.
    pub(crate) fn find(&self, path: &KeyPath, part: Part) -> Option<Place> {
        let parsed = DeTable::parse(&self.text).ok()?;
        let mut path = path.clone();
        let mut part = part;
        loop {
            if let Some((key, value)) = walk(parsed.get_ref(), path.steps()) {
                let span = match part {
                    Part::Key => key.or(value),
                    Part::Value => value.or(key),
                };
                return span.map(|span| self.at(span));
            }
            path = path.parent().filter(|path| !path.steps().is_empty())?;
            part = Part::Key;
        }
    }

    /// True if the file has a value or a table at `path`.
    pub(crate) fn holds(&self, path: &KeyPath) -> bool {
        DeTable::parse(&self.text).is_ok_and(|parsed| walk(parsed.get_ref(), path.steps()).is_some())
    }

    fn at(&self, span: Range<usize>) -> Place {
        Place::new(self.name.clone(), self.text.clone(), span)
    }
}

type Spans = (Option<Range<usize>>, Option<Range<usize>>);

/// The span of the key and of the value at the end of the path.
fn walk(table: &DeTable<'_>, steps: &[Step]) -> Option<Spans> {
    let (first, rest) = steps.split_first()?;
    let Step::Key(name) = first else { return None };
    let (key, value) = entry(table, name)?;
    walk_value(Some(key.span()), value, rest)
}

fn walk_value(key: Option<Range<usize>>, value: &Spanned<DeValue<'_>>, steps: &[Step]) -> Option<Spans> {
    let Some((first, rest)) = steps.split_first() else {
        // The span of a table is its header; it is empty for a table that only dotted keys define.
        let span = value.span();
        return Some((key, (!span.is_empty()).then_some(span)));
    };
    match (value.get_ref(), first) {
        (DeValue::Table(table), Step::Key(_)) => walk(table, steps),
        (DeValue::Array(items), Step::Item(index)) => walk_value(None, items.get(*index)?, rest),
        _ => None,
    }
}

fn entry<'t, 'i>(
    table: &'t DeTable<'i>,
    name: &str,
) -> Option<(&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    table.iter().find(|(key, _)| key.get_ref().as_ref() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, path: &str, part: Part) -> Option<(usize, usize)> {
        let (document, _) = Document::parse("test.toml", text.to_owned()).unwrap();
        let place = document.find(&KeyPath::of_dotted(path), part)?;
        Some((place.line(), place.column()))
    }

    #[test]
    fn keys_and_values_are_found_in_every_form_of_table() {
        let text = "a.b = 1\n[c]\n  d = 2\n[[e]]\nf = 3\n[[e]]\nf = [4,\n 5]\n[g]\nh = { i = 6 }\n";
        assert_eq!(lines(text, "a.b", Part::Key), Some((1, 3)));
        assert_eq!(lines(text, "c.d", Part::Key), Some((3, 3)));
        assert_eq!(lines(text, "c.d", Part::Value), Some((3, 7)));
        assert_eq!(lines(text, "e[1].f", Part::Key), Some((7, 1)));
        assert_eq!(lines(text, "e[1].f[1]", Part::Value), Some((8, 2)));
        assert_eq!(lines(text, "g.h.i", Part::Value), Some((10, 11)));
        assert_eq!(lines(text, "c", Part::Key), Some((2, 2)));
    }

    #[test]
    fn a_missing_key_has_the_place_of_its_table() {
        let text = "[c]\nd = 2\n[[e]]\nf = 3\n";
        assert_eq!(lines(text, "c.x", Part::Value), Some((1, 2)));
        assert_eq!(lines(text, "e[0].x", Part::Value).map(|(line, _)| line), Some(3));
        assert_eq!(lines(text, "x.y", Part::Value), None);
    }
}

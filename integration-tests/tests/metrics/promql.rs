//! As much of PromQL as it takes to find out what an expression asks for.

/// A metric, and what is asked of its labels.
#[derive(Debug)]
pub(crate) struct Selector {
    pub(crate) name: String,
    pub(crate) matchers: Vec<Matcher>,
}

/// What is asked of one label.
#[derive(Debug)]
pub(crate) struct Matcher {
    pub(crate) label: String,
    operator: String,
    value: String,
}

impl Matcher {
    /// Itself with each value that it wants.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&Self, &str)> {
        let wanted = if self.operator.starts_with('!') { "" } else { self.value.as_str() };
        wanted.split('|').filter(|value| !value.is_empty()).map(move |value| (self, value))
    }

    /// Whether a value is one that is asked for. Of regular expressions there are alternatives alone.
    pub(crate) fn fits(&self, value: &str) -> bool {
        let named = self.value.split('|').any(|one| one == value);
        match self.operator.as_str() {
            "=" => value == self.value,
            "!=" => value != self.value,
            "=~" => named,
            "!~" => !named,
            operator => panic!("no such operator: {operator}"),
        }
    }
}

/// The metrics that an expression asks for: those of hydra, of its store, of the process, and `up`.
pub(crate) fn selectors(expression: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let without_grouping = without_grouping(expression);
    let mut rest = without_grouping.as_str();
    while let Some(start) = rest.find(|char: char| char.is_ascii_alphabetic() || char == '_') {
        let word = &rest[start..];
        let end = word.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(word.len());
        let (name, after) = word.split_at(end);
        let is_metric =
            ["hydra_", "process_", "db_"].iter().any(|prefix| name.starts_with(prefix)) || name == "up";
        rest = after;
        if let Some(inside) = after.strip_prefix('{') {
            assert!(is_metric, "whose metric is {name}? {expression}");
            let (matchers, after) = matchers(inside);
            found.push(Selector { name: name.to_owned(), matchers });
            rest = after;
        } else if is_metric {
            found.push(Selector { name: name.to_owned(), matchers: Vec::new() });
        }
    }
    found
}

/// Reads matchers up to the brace that ends them, and returns what follows.
fn matchers(mut rest: &str) -> (Vec<Matcher>, &str) {
    let mut found = Vec::new();
    loop {
        let (head, after) = rest.split_once('"').expect("a matcher has a value");
        let (value, after) = after.split_once('"').expect("a value ends");
        let label = head.trim_end_matches(['=', '!', '~']);
        let operator = head[label.len()..].to_owned();
        found.push(Matcher { label: label.trim().to_owned(), operator, value: value.to_owned() });
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return (found, after.strip_prefix('}').expect("matchers end")),
        }
    }
}

/// An expression without the lists of labels by which it groups: labels have names of the same form.
fn without_grouping(expression: &str) -> String {
    let mut parts = expression.split("by (");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once(')').map_or("", |(_, rest)| rest))
}

/// The labels by which an expression groups.
pub(crate) fn grouping_labels(expression: &str) -> Vec<String> {
    let lists = expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    lists.flat_map(|list| list.split(',')).map(|label| label.trim().to_owned()).collect()
}

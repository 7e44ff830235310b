//! One sample on its line.

use super::Labels;

/// A sample.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) value: f64,
}

/// Reads `name{label="value",…} number`.
pub(super) fn sample(line: &str) -> Result<Sample, &'static str> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, rest) = line.split_at(end);
    if !is_name(name) {
        return Err("no name of a metric");
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (Labels::new(), rest),
    };
    let value = rest.strip_prefix(' ').ok_or("one space stands before the value")?;
    Ok(Sample { name: name.to_owned(), labels, value: number(value)? })
}

pub(super) fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
    name.bytes().enumerate().all(|(at, byte)| letter(byte) || (at > 0 && byte.is_ascii_digit()))
        && !name.is_empty()
}

/// Reads labels up to the brace that ends them, and returns what follows.
fn labels(mut rest: &str) -> Result<(Labels, &str), &'static str> {
    let mut labels = Labels::new();
    loop {
        let (name, after) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(name) || name.contains(':') || name.starts_with("__") {
            return Err("no name of a label");
        }
        let (value, after) = quoted(after)?;
        if labels.insert(name.to_owned(), value).is_some() {
            return Err("twice the same label");
        }
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Ok((labels, after.strip_prefix('}').ok_or("the labels do not end")?)),
        }
    }
}

/// Reads a value up to the quote that ends it.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, char @ ('\\' | '"'))) => char,
                _ => return Err("no such escape"),
            }),
            _ => value.push(char),
        }
    }
    Err("a value does not end")
}

fn number(text: &str) -> Result<f64, &'static str> {
    let plain = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if text != "+Inf" && !text.bytes().all(plain) {
        return Err("no number");
    }
    text.parse().map_err(|_| "no number")
}

//! The lines of a list, and its header (specification: specs.ipfs.tech, "Compact Denylist Format", IPIP-383).

use std::io::{self, BufRead};

/// The longest line that is read, its end included (specification, "File syntax").
pub(crate) const LINE_BYTES_MAX: usize = 2 << 20;
/// The longest header (specification, "Header").
pub(crate) const HEADER_BYTES_MAX: u64 = 1 << 20;
/// The line that ends a header.
pub(crate) const HEADER_END: &str = "---";
/// The version of the format that this code reads.
pub(crate) const VERSION: &str = "1";

/// U+FEFF, which editors of Windows put before a text, and which is in its middle when texts were joined.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Why the text of a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("line {0} holds a NUL byte: the file is not whole, or its text is not UTF-8")]
    Nul(u64),
    #[error("line 1 begins as UTF-16 does: save it as UTF-8")]
    Utf16,
    #[error("its header cannot be read: line {line} {why}")]
    Header { line: u64, why: &'static str },
    #[error("line {line}: it is of version {version} of the format; this program reads version {VERSION}")]
    Version { line: u64, version: String },
}

/// The lines one at a time; they end with LF, CR LF or CR.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
}

/// A line without its end.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    /// From 1 up.
    pub(crate) number: u64,
    /// How many bytes of the file there are up to its end.
    pub(crate) end: u64,
    /// `None` when it is too long, or no UTF-8.
    pub(crate) text: Option<&'a str>,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn of(reader: R) -> Self {
        Self { reader, line: Vec::new(), number: 0, bytes: 0 }
    }

    pub(crate) fn into_reader(self) -> R {
        self.reader
    }

    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>, Unreadable> {
        self.line.clear();
        let before = self.bytes;
        let mut is_long = false;
        loop {
            let read = self.reader.fill_buf()?;
            if read.is_empty() {
                break;
            }
            let end = read.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let text = &read[..end.unwrap_or(read.len())];
            let room = (LINE_BYTES_MAX - 1).saturating_sub(self.line.len());
            is_long |= text.len() > room;
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            let ends_with_cr = end.is_some_and(|end| read[end] == b'\r');
            let taken = end.map_or(read.len(), |end| end + 1);
            self.take(taken);
            if ends_with_cr && self.reader.fill_buf()?.first() == Some(&b'\n') {
                self.take(1);
            }
            if end.is_some() {
                break;
            }
        }
        if self.bytes == before {
            return Ok(None);
        }
        self.number += 1;
        if self.number == 1 && (self.line.starts_with(b"\xff\xfe") || self.line.starts_with(b"\xfe\xff")) {
            return Err(Unreadable::Utf16);
        }
        if self.line.contains(&0) {
            return Err(Unreadable::Nul(self.number));
        }
        let text = if is_long { None } else { str::from_utf8(&self.line).ok() };
        let text = text.map(|text| text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text));
        Ok(Some(Line { number: self.number, end: self.bytes, text }))
    }

    fn take(&mut self, bytes: usize) {
        self.reader.consume(bytes);
        self.bytes += bytes as u64;
    }
}

/// Where in a list the next line is.
#[derive(Debug)]
pub(crate) enum Place {
    /// Before all but comments: a header may come, or rules.
    Start,
    Header(Header),
    Rules,
}

/// What was read of a header: lines of `key: value`, of which the version alone counts. It is YAML of which hydra reads
/// the outline.
#[derive(Debug)]
pub(crate) struct Header {
    first: u64,
    has_version: bool,
    /// The line of a quoted text or a list that has begun, and what ends it.
    open: Option<(u64, char)>,
}

impl Place {
    /// Takes the next line, and tells whether it may be a rule.
    ///
    /// # Errors
    /// When the line belongs to a header and makes it unreadable.
    pub(crate) fn take(&mut self, line: &Line<'_>) -> Result<bool, Unreadable> {
        let text = line.text.map(str::trim_end);
        match self {
            Self::Rules if text == Some(HEADER_END) && line.end <= HEADER_BYTES_MAX => {
                refuse(line.number, "is the `---` that ends a header, and there are rules before it")
            }
            Self::Rules => Ok(true),
            Self::Start => match text {
                Some(text) if text.is_empty() || text.starts_with('#') => Ok(false),
                Some(text) if is_like_a_rule(text) => {
                    *self = Self::Rules;
                    Ok(true)
                }
                Some(HEADER_END) => {
                    *self = Self::Rules;
                    Ok(false)
                }
                _ => {
                    let mut header = Header { first: line.number, has_version: false, open: None };
                    header.take(line)?;
                    *self = Self::Header(header);
                    Ok(false)
                }
            },
            Self::Header(header) if text == Some(HEADER_END) => {
                header.close()?;
                *self = Self::Rules;
                Ok(false)
            }
            Self::Header(header) => header.take(line).map(|()| false),
        }
    }

    /// The text is over.
    ///
    /// # Errors
    /// When it is over within a header.
    pub(crate) fn end(&self) -> Result<(), Unreadable> {
        match self {
            Self::Header(Header { first, .. }) => {
                refuse(*first, "is not a rule and begins a header, and no line `---` ends it")
            }
            Self::Start | Self::Rules => Ok(()),
        }
    }
}

impl Header {
    fn take(&mut self, line: &Line<'_>) -> Result<(), Unreadable> {
        let number = line.number;
        if line.end > HEADER_BYTES_MAX {
            return refuse(self.first, "begins it, and no line `---` ends it within 1 MiB");
        }
        let Some(text) = line.text.map(str::trim_end) else {
            return refuse(number, "is too long, or not UTF-8");
        };
        if text.is_empty() || text.starts_with('#') {
            return Ok(());
        }
        if text.starts_with('\t') {
            return refuse(number, "is indented with a tab");
        }
        if text.starts_with(' ') {
            self.open.take_if(|(_, end)| text.contains(*end));
            return Ok(());
        }
        self.close()?;
        if is_like_a_rule(text) {
            return refuse(number, "is a rule, and no line `---` ends the header before it");
        }
        if text == "-" || text.starts_with("- ") {
            return Ok(());
        }
        let Some((key, value)) = key_and_value(text) else {
            return refuse(number, "is not of the form `key: value`");
        };
        self.open = opened(value).map(|end| (number, end));
        if key == "version" { self.version(number, value) } else { Ok(()) }
    }

    fn version(&mut self, line: u64, value: &str) -> Result<(), Unreadable> {
        if std::mem::replace(&mut self.has_version, true) {
            return refuse(line, "gives the version a second time");
        }
        let told = value.split('#').next().unwrap_or_default().trim();
        let version: String = told.trim_matches(['"', '\'']).chars().take(20).collect();
        if version == VERSION { Ok(()) } else { Err(Unreadable::Version { line, version }) }
    }

    /// Nothing that was begun may be open here.
    fn close(&self) -> Result<(), Unreadable> {
        match self.open {
            None => Ok(()),
            Some((line, _)) => refuse(line, "begins a quoted text, a list or a map that does not end"),
        }
    }
}

fn refuse<T>(line: u64, why: &'static str) -> Result<T, Unreadable> {
    Err(Unreadable::Header { line, why })
}

fn is_like_a_rule(text: &str) -> bool {
    text.starts_with(['/', '!', '+'])
}

fn key_and_value(text: &str) -> Option<(&str, &str)> {
    // What YAML gives a meaning of its own at the beginning of a line.
    if text.starts_with(['{', '}', '[', ']', ',', '?', ':', '&', '*', '|', '>', '%', '@', '`']) {
        return None;
    }
    let (key, value) = match text.strip_suffix(':') {
        Some(key) if !key.contains(": ") => (key, ""),
        _ => text.split_once(": ").or_else(|| text.split_once(":\t"))?,
    };
    Some((key.trim_end().trim_matches(['"', '\'']), value.trim()))
}

/// What ends a value that its line leaves open.
fn opened(value: &str) -> Option<char> {
    let end = match value.chars().next()? {
        quote @ ('"' | '\'') => quote,
        '[' => ']',
        '{' => '}',
        _ => return None,
    };
    (!value[1..].contains(end)).then_some(end)
}

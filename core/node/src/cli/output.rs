//! Standard output: the only place that writes to it.

use std::fmt::{self, Display, Formatter};
use std::io::{self, ErrorKind, IsTerminal, Write};

/// Standard output. Once its reader is gone, further output is discarded and nothing fails.
#[derive(Debug)]
pub(crate) struct Output {
    reader: Reader,
    terminal: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Reader {
    There,
    Gone,
}

impl Output {
    /// This process's standard output.
    pub(crate) fn stdout() -> Self {
        Self { reader: Reader::There, terminal: io::stdout().is_terminal() }
    }

    /// True if it is a terminal.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes a line and flushes it.
    ///
    /// # Errors
    /// The I/O error, unless the reader is gone.
    pub(crate) fn line(&mut self, text: impl Display) -> io::Result<()> {
        self.text(format_args!("{text}\n"))
    }

    /// Writes text and flushes it; to a terminal without what that would obey, as some of it is of strangers.
    ///
    /// # Errors
    /// As for [`Self::line`].
    pub(crate) fn text(&mut self, text: impl Display) -> io::Result<()> {
        if self.reader == Reader::Gone {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        let written = match self.terminal {
            true => write!(out, "{}", Printable(text)),
            false => write!(out, "{text}"),
        };
        match written.and_then(|()| out.flush()) {
            Err(cause) if cause.kind() == ErrorKind::BrokenPipe => {
                self.reader = Reader::Gone;
                Ok(())
            }
            written => written,
        }
    }
}

/// A text without its control characters but the ends of its lines.
struct Printable<T>(T);

impl<T: Display> Display for Printable<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        fmt::write(&mut Filter(f), format_args!("{}", self.0))
    }
}

struct Filter<'f, 'b>(&'f mut Formatter<'b>);

impl fmt::Write for Filter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_obeyed = |char: char| char.is_control() && char != '\n';
        text.split(is_obeyed).try_for_each(|part| self.0.write_str(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_nothing_that_it_would_obey() {
        let text = "/ipfs/\u{1b}]0;pwned\u{7}bafy\r\n\u{9b}31m12 bytes\n";
        assert_eq!(Printable(text).to_string(), "/ipfs/]0;pwnedbafy\n31m12 bytes\n");
    }
}

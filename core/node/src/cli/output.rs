//! Standard output: the only place that writes to it.

use std::fmt::Display;
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

    /// Writes text as it is and flushes it.
    ///
    /// # Errors
    /// As for [`Self::line`].
    pub(crate) fn text(&mut self, text: impl Display) -> io::Result<()> {
        if self.reader == Reader::Gone {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        match write!(out, "{text}").and_then(|()| out.flush()) {
            Err(cause) if cause.kind() == ErrorKind::BrokenPipe => {
                self.reader = Reader::Gone;
                Ok(())
            }
            written => written,
        }
    }
}

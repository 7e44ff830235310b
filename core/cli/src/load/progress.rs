//! What is shown and written while a run goes on.

use hydra_load::{Outcome, Progress, Second};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

/// Moves to the start of the line and clears it.
const CLEAR_LINE: &str = "\r\x1b[2K";

/// A line on the terminal that is written anew each second, and a row of CSV for each second.
pub(super) struct Watcher {
    terminal: bool,
    csv: Option<BufWriter<File>>,
    /// The first error of the file; nothing more is written after it.
    failure: Option<io::Error>,
}

impl Watcher {
    /// Creates the file, with its header.
    pub(super) fn new(csv: Option<&Path>) -> io::Result<Self> {
        let csv = match csv {
            None => None,
            Some(path) => {
                let mut file = BufWriter::new(File::create(path)?);
                writeln!(file, "{}", Second::csv_header())?;
                Some(file)
            }
        };
        Ok(Self { terminal: io::stderr().is_terminal(), csv, failure: None })
    }

    pub(super) fn observe(&mut self, progress: &Progress<'_>) {
        match progress {
            Progress::Connected { connected, clients } if connected < clients => {
                to_stderr(&format!("warning: only {connected} of {clients} clients are connected\n"));
            }
            Progress::Connected { .. } => {}
            Progress::Preloaded(done) => {
                if done.failed > 0 {
                    to_stderr(&format!("warning: {} keys could not be preloaded\n", done.failed));
                }
            }
            Progress::Second(second) => self.second(second),
        }
    }

    fn second(&mut self, second: &Second) {
        if self.terminal {
            to_stderr(&format!("{CLEAR_LINE}{}", line(second)));
        }
        if let Some(csv) = &mut self.csv {
            // Flushed, so that the rows can be followed.
            if let Err(cause) = writeln!(csv, "{}", second.csv()).and_then(|()| csv.flush()) {
                self.failure = Some(cause);
                self.csv = None;
            }
        }
    }

    /// Clears the line.
    ///
    /// # Errors
    /// The first error of the file.
    pub(super) fn finish(self) -> io::Result<()> {
        if self.terminal {
            to_stderr(CLEAR_LINE);
        }
        self.failure.map_or(Ok(()), Err)
    }
}

fn line(second: &Second) -> String {
    let mut line = format!("{:4.0} s  step {}  offered {}/s", second.at_s, second.step + 1, second.offered);
    for outcome in Outcome::ALL {
        match second.outcomes.of(outcome) {
            0 if outcome != Outcome::Full => {}
            count => line.push_str(&format!("  {} {count}", outcome.name())),
        }
    }
    if let Some((p50, p99)) = second.latency_ms.iter().flatten().next() {
        line.push_str(&format!("  p50 {p50:.1} ms  p99 {p99:.1} ms"));
    }
    if let Some(server) = &second.server {
        line.push_str(&format!("  server {:.2} cores {:.0} MiB", server.cpu_cores, server.rss_mib));
    }
    line
}

fn to_stderr(text: &str) {
    let mut out = io::stderr().lock();
    // A closed standard error cannot be reported anywhere.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

//! What is shown while records are moved: a bar on a terminal, lines elsewhere, both on standard error.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a line is written.
const INTERVAL: Duration = Duration::from_secs(10);

/// Shows how far a transfer is.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    total: Option<u64>,
    shown_at: Instant,
}

impl Progress {
    /// Begins with what is moved between which stores, and how many records of about `total` are through.
    pub(super) fn begin(what: &str, done: u64, total: Option<u64>) -> Self {
        let of = total.map(|total| format!(" of about {total}")).unwrap_or_default();
        if !io::stderr().is_terminal() {
            let goes_on = if done > 0 { ", continuing" } else { "" };
            to_stderr(&format!("{what}: {done}{of} records{goes_on}"));
            return Self { bar: None, total, shown_at: Instant::now() };
        }
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new).with_message(what.to_owned());
        let template = match total {
            Some(_) => "{msg} {wide_bar} {pos}/~{len} {per_sec} {eta}",
            None => "{msg} {spinner} {pos} {per_sec}",
        };
        let bar = match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        bar.set_position(done);
        bar.reset_eta();
        Self { bar: Some(bar), total, shown_at: Instant::now() }
    }

    /// This many records are through.
    pub(super) fn show(&mut self, done: u64, now: Instant) {
        match &self.bar {
            Some(bar) => {
                // An estimate may be too low.
                if self.total.is_some_and(|total| done > total) {
                    bar.set_length(done);
                }
                bar.set_position(done);
            }
            None if now.saturating_duration_since(self.shown_at) >= INTERVAL => {
                self.shown_at = now;
                let of = self.total.map(|total| format!(" of about {total}")).unwrap_or_default();
                to_stderr(&format!("{done}{of} records"));
            }
            None => {}
        }
    }

    /// Removes the bar.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn to_stderr(text: &str) {
    // A closed standard error cannot be reported anywhere.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

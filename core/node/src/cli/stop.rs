//! The signals that stop a command.

use std::io;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that come this soon after the first are one wish: a shell and a supervisor may each send their own.
const ONE_WISH: Duration = Duration::from_secs(1);

/// SIGTERM, Ctrl-C, and SIGHUP, which a terminal that is closed sends.
pub(crate) struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl StopSignal {
    /// Takes the signals over from now on.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next of them; its name.
    pub(crate) async fn given(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }

    /// Waits until the user insists: SIGTERM or Ctrl-C, a second or more after the first signal. A terminal that is closed
    /// does not insist.
    pub(crate) async fn insisted(&mut self) {
        self.given().await;
        let first = Instant::now();
        while {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            first.elapsed() < ONE_WISH
        } {}
    }
}

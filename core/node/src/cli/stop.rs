//! The signals that stop a command.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

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

    /// Waits for the next of them.
    pub(crate) async fn given(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

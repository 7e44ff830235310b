//! The signals that stop a node, and those that have it read its config again or write a heap profile.

use std::io;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that come this soon after the first are one wish: a shell and a supervisor may each send their own.
const ONE_WISH: Duration = Duration::from_secs(1);

/// SIGTERM and Ctrl-C.
pub(crate) struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

/// SIGHUP, which a terminal that is closed sends, too.
pub(crate) struct ReloadSignal(Signal);

impl ReloadSignal {
    /// Takes the signal over from now on: it ends the process no more.
    pub(crate) fn new() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next one. Those that came since the last call count as one.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn given(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// SIGUSR2.
pub(crate) struct ProfileSignal(Signal);

impl ProfileSignal {
    /// Takes the signal over from now on: it ends the process no more.
    pub(crate) fn new() -> io::Result<Self> {
        signal(SignalKind::user_defined2()).map(Self)
    }

    /// As [`ReloadSignal::given`].
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn given(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

impl StopSignal {
    /// Takes the signals over from now on.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next of them; its name.
    pub(crate) async fn given(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Waits until the user insists: a second or more after the first signal.
    pub(crate) async fn insisted(&mut self) {
        self.given().await;
        let first = Instant::now();
        while {
            self.given().await;
            first.elapsed() < ONE_WISH
        } {}
    }
}

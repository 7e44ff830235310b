//! Server or client.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The protocol is offered: identify lists it, and streams are served.
    Server,
    /// The protocol is not offered, and new inbound streams are refused (N1). Those that are open end with their next request,
    /// unless that has no answer: whoever gets one takes the peer for a server.
    Client,
}

/// The mode as the open streams of all connections see it.
#[derive(Debug)]
pub(crate) struct SharedMode(AtomicBool);

impl SharedMode {
    pub(crate) fn new(mode: Mode) -> Self {
        Self(AtomicBool::new(mode == Mode::Server))
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.0.store(mode == Mode::Server, Ordering::Relaxed);
    }

    pub(crate) fn is_server(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

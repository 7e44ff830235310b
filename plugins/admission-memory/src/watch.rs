//! The thread that measures.

use crate::state::State;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;

/// Ends the thread when it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    _alive: SyncSender<()>,
}

impl Watch {
    /// Measures on a thread of its own, for as long as this is kept.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(crate) fn start(state: &Arc<State>) -> io::Result<Self> {
        let (alive, over) = sync_channel(0);
        let state = Arc::downgrade(state);
        thread::Builder::new().name("memory-policy".to_owned()).spawn(move || run(&state, &over))?;
        Ok(Self { _alive: alive })
    }
}

fn run(state: &Weak<State>, over: &Receiver<()>) {
    while let Some(interval) = state.upgrade().map(|state| state.interval()) {
        match over.recv_timeout(interval) {
            Err(RecvTimeoutError::Timeout) => {
                if let Some(state) = state.upgrade() {
                    state.measure();
                }
            }
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

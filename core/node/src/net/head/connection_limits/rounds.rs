//! Trimming the whole node: once it has too many connections, or too little memory, each head closes its part, one that nobody
//! connects to as well.

use futures::task::AtomicWaker;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

/// Rounds of trimming. In each every head closes its part once; the next may begin when all have, so that a part is
/// not closed twice while the others are still at it.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// A copy of what stands in `state`, to be read without the lock.
    number: AtomicU64,
    state: Mutex<State>,
}

/// Why connections of every head are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Cause {
    /// The node has more of them than its high mark.
    #[default]
    HighMark,
    /// The process is near its memory limit.
    Memory,
}

#[derive(Debug, Default)]
struct State {
    number: u64,
    cause: Cause,
    /// How many heads have not closed their part yet.
    due: usize,
    /// Every head, to be woken when a round begins.
    heads: Vec<Arc<AtomicWaker>>,
}

/// A head that takes part.
#[derive(Debug)]
pub(super) struct Member {
    waker: Arc<AtomicWaker>,
    /// The last round in which it closed its part.
    seen: u64,
}

impl Rounds {
    /// A head more, from the next round on.
    pub(super) fn join(&self) -> Member {
        let waker = Arc::<AtomicWaker>::default();
        let mut state = self.state();
        state.heads.push(Arc::clone(&waker));
        Member { waker, seen: state.number }
    }

    /// Begins a round, unless one is under way.
    pub(super) fn begin(&self, cause: Cause) {
        let mut state = self.state();
        if state.due > 0 {
            return;
        }
        state.number += 1;
        state.cause = cause;
        state.due = state.heads.len();
        self.number.store(state.number, Ordering::Release);
        for head in &state.heads {
            head.wake();
        }
    }

    /// Why this head has a part to close now, if it has. It is told once in each round.
    pub(super) fn due(&self, member: &mut Member) -> Option<Cause> {
        let number = self.number.load(Ordering::Acquire);
        if member.seen == number {
            return None;
        }
        member.seen = number;
        let mut state = self.state();
        state.due = state.due.saturating_sub(1);
        Some(state.cause)
    }

    /// The head has ended; nobody waits for its part.
    pub(super) fn leave(&self, member: &Member) {
        let mut state = self.state();
        state.heads.retain(|head| !Arc::ptr_eq(head, &member.waker));
        if member.seen != state.number {
            state.due = state.due.saturating_sub(1);
        }
    }

    /// Nothing that a panic could leave half done is kept behind this lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    /// Has this task woken when a round begins.
    pub(super) fn listen(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }
}

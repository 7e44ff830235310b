//! How it stands with a head.

use libp2p::Multiaddr;

/// What is known of a head from outside.
#[derive(Debug, Default)]
pub(crate) struct Status {
    /// Where it listens.
    pub(crate) addresses: Vec<Multiaddr>,
    /// The addresses that it advertises, the best ones first.
    pub(crate) advertised: Vec<Multiaddr>,
    /// Whether each of its listeners has told its addresses, or was given up.
    pub(crate) ready: bool,
    /// How many of its listeners listen, and how many are tried again.
    pub(crate) listeners: ListenerCounts,
    /// Why it cannot listen anywhere, if so.
    pub(crate) failure: Option<String>,
}

/// How many listeners are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ListenerCounts {
    /// They listen.
    pub(crate) up: u32,
    /// They failed or closed, and are tried again.
    pub(crate) down: u32,
}

/// How it stands with a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Its listeners have not told their addresses yet.
    Starting,
    /// It can be reached.
    Listening,
    /// It can be reached, and some of its listeners failed and are tried again.
    Partial,
    /// It failed or listens nowhere; after a failure it is started again.
    Failed,
    /// Its task has ended: nobody starts it again.
    Ended,
}

impl State {
    /// Every state, in the order of their discriminants.
    pub(crate) const ALL: [Self; 5] =
        [Self::Starting, Self::Listening, Self::Partial, Self::Failed, Self::Ended];

    /// The word for it in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Listening => "listening",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Ended => "ended",
        }
    }
}

impl Status {
    /// How it stands with the head, as long as its task runs.
    pub(crate) fn state(&self) -> State {
        match (&self.failure, self.ready, self.addresses.is_empty()) {
            (Some(_), _, _) | (None, true, true) => State::Failed,
            (None, true, false) if self.listeners.down > 0 => State::Partial,
            (None, true, false) => State::Listening,
            (None, false, _) => State::Starting,
        }
    }
}

//! The listeners of a head: those that fail or close are tried again.

mod cause;

use crate::config::Transport;
use crate::net::heads::ListenerCounts;
use libp2p::Multiaddr;
use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, Swarm, SwarmEvent};
use rand::RngExt;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// The pause before a listener is tried again, doubled with every failure in a row. Each is lengthened by up to a half, so
/// that many heads do not try at the same moment.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The listeners of a head, one for each address.
#[derive(Debug)]
pub(super) struct Listeners {
    head: u32,
    all: Vec<Listener>,
}

#[derive(Debug)]
struct Listener {
    address: Multiaddr,
    state: State,
    pause: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has told no address yet.
    Silent(ListenerId),
    /// It listens, or has no interface to listen on.
    Listening(ListenerId),
    /// It failed or closed, and is tried again.
    Down { again: Instant },
    /// The system does not have the protocol.
    Unsupported,
}

/// A listener that could not be opened.
#[derive(Debug)]
struct Failure {
    address: Multiaddr,
    cause: io::Error,
    is_first: bool,
}

impl Failure {
    /// The same failure again is no news.
    fn log(&self, head: u32) {
        if self.is_first {
            tracing::warn!(head, address = %self.address, error = %self.cause, "cannot listen");
        }
    }
}

impl Listeners {
    /// Listens wherever it can, and logs where it cannot.
    ///
    /// # Errors
    /// When it can listen nowhere; then nothing is logged.
    pub(super) fn begin<B: NetworkBehaviour>(
        swarm: &mut Swarm<B>,
        head: u32,
        addresses: &[Multiaddr],
    ) -> io::Result<Self> {
        let again = Instant::now();
        let down = |address: &Multiaddr| Listener {
            address: address.clone(),
            state: State::Down { again },
            pause: PAUSE,
        };
        let mut listeners = Self { head, all: addresses.iter().map(down).collect() };
        let mut failures = listeners.try_all(swarm);
        if !listeners.all.iter().any(Listener::is_open)
            && let Some(failure) = failures.pop()
        {
            return Err(failure.cause);
        }
        failures.iter().for_each(|failure| failure.log(head));
        Ok(listeners)
    }

    /// Tries those whose pause is over; the last failure is returned.
    pub(super) fn retry<B: NetworkBehaviour>(&mut self, swarm: &mut Swarm<B>) -> Option<io::Error> {
        let mut failures = self.try_all(swarm);
        failures.iter().for_each(|failure| failure.log(self.head));
        failures.pop().map(|failure| failure.cause)
    }

    fn try_all<B: NetworkBehaviour>(&mut self, swarm: &mut Swarm<B>) -> Vec<Failure> {
        let (now, head) = (Instant::now(), self.head);
        let is_due =
            |listener: &&mut Listener| matches!(listener.state, State::Down { again } if again <= now);
        self.all.iter_mut().filter(is_due).filter_map(|listener| listener.open(swarm, head)).collect()
    }

    /// When the next one is to be tried again.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        let again = |listener: &Listener| match listener.state {
            State::Down { again } => Some(again),
            State::Silent(_) | State::Listening(_) | State::Unsupported => None,
        };
        self.all.iter().filter_map(again).min()
    }

    /// Notes what an event tells of a listener.
    pub(super) fn on_event<E>(&mut self, event: &SwarmEvent<E>) {
        match event {
            SwarmEvent::NewListenAddr { listener_id, .. } => {
                if let Some(listener) = self.find(*listener_id) {
                    listener.state = State::Listening(*listener_id);
                    listener.pause = PAUSE;
                }
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                let head = self.head;
                let Some(listener) = self.find(*listener_id) else { return };
                let reason = reason.as_ref().err().map(ToString::to_string);
                tracing::warn!(head, address = %listener.address, reason, "a listener closed, opening it again");
                listener.fail();
            }
            _ => {}
        }
    }

    /// Waits no longer for those that have told no address.
    pub(super) fn give_up_waiting(&mut self) {
        for listener in &mut self.all {
            if let State::Silent(id) = listener.state {
                listener.state = State::Listening(id);
            }
        }
    }

    /// True once each has told an address, failed, or was given up.
    pub(super) fn are_settled(&self) -> bool {
        !self.all.iter().any(|listener| matches!(listener.state, State::Silent(_)))
    }

    /// How many listen, and how many are tried again.
    pub(super) fn counts(&self) -> ListenerCounts {
        let count = |is: fn(&State) -> bool| {
            u32::try_from(self.all.iter().filter(|listener| is(&listener.state)).count()).unwrap_or(u32::MAX)
        };
        ListenerCounts {
            up: count(|state| matches!(state, State::Listening(_))),
            down: count(|state| matches!(state, State::Down { .. })),
        }
    }

    /// Whether this address, under which others are to find the head, is served: a listener of its transport listens. One
    /// for which the head has no listener at all is served by something else.
    pub(super) fn serve(&self, announced: &Multiaddr) -> bool {
        let Some(over) = transport_of(announced) else { return true };
        let mut of_transport =
            self.all.iter().filter(|listener| transport_of(&listener.address) == Some(over)).peekable();
        of_transport.peek().is_none()
            || of_transport.any(|listener| matches!(listener.state, State::Listening(_)))
    }

    fn find(&mut self, id: ListenerId) -> Option<&mut Listener> {
        self.all.iter_mut().find(|listener| listener.id() == Some(id))
    }
}

impl Listener {
    fn open<B: NetworkBehaviour>(&mut self, swarm: &mut Swarm<B>, head: u32) -> Option<Failure> {
        let address = &self.address;
        let failure = match swarm.listen_on(address.clone()) {
            Ok(id) => {
                if self.pause > PAUSE {
                    tracing::info!(head, %address, "listening again");
                }
                self.state = State::Silent(id);
                return None;
            }
            Err(failure) => failure,
        };
        let (cause, is_supported) = cause::of(&failure, address);
        let is_first = self.pause == PAUSE;
        if is_supported {
            self.fail();
        } else {
            self.state = State::Unsupported;
        }
        Some(Failure { address: self.address.clone(), cause, is_first })
    }

    fn fail(&mut self) {
        let pause = self.pause + self.pause.mul_f64(rand::rng().random_range(0.0..0.5));
        self.state = State::Down { again: Instant::now() + pause };
        self.pause = (2 * self.pause).min(PAUSE_MAX);
    }

    fn is_open(&self) -> bool {
        self.id().is_some()
    }

    fn id(&self) -> Option<ListenerId> {
        match self.state {
            State::Silent(id) | State::Listening(id) => Some(id),
            State::Down { .. } | State::Unsupported => None,
        }
    }
}

/// The transport of an address, if it is one that heads listen on.
fn transport_of(address: &Multiaddr) -> Option<Transport> {
    let mut parts = address.iter().skip(1);
    match (parts.next(), parts.next()) {
        (Some(Protocol::Tcp(_)), None | Some(Protocol::P2p(_))) => Some(Transport::Tcp),
        (Some(Protocol::Udp(_)), Some(Protocol::QuicV1)) => Some(Transport::Quic),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

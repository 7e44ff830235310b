//! Has other peers test whether a head can be reached: AutoNAT v2, as a client (libp2p/specs `autonat/autonat-v2.md`).
//!
//! A server of the protocol dials back the address that it is asked about, on a connection of its own, and hands over a
//! number there that only it was told. Why not libp2p's own client: `docs/adr/0021-own-autonat-client.md`.

mod behaviour;
mod exchange;
mod handler;
mod message;
mod nonces;
mod path;

pub(crate) use behaviour::Behaviour;

use libp2p::{Multiaddr, PeerId, StreamProtocol};
use quick_cache::sync::Cache;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// The protocol on which a server is asked for a test.
pub(crate) const DIAL_REQUEST: StreamProtocol = StreamProtocol::new("/libp2p/autonat/2/dial-request");
/// The protocol on which it hands over the number of the test.
pub(crate) const DIAL_BACK: StreamProtocol = StreamProtocol::new("/libp2p/autonat/2/dial-back");

/// Tests of a head that are under way at a time.
const CHECKS_MAX: usize = 4;
/// Servers that are remembered.
const SERVERS_MAX: usize = 4096;
/// How long a test may take from the dial to its end: go's server takes up to 15 seconds for its own dial.
const WAIT: Duration = Duration::from_secs(40);

/// What a server found out about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It dialed the head at the address and handed over the number of the test there.
    Reachable,
    /// It could not connect to the head at the address.
    Unreachable,
}

/// Why a test has no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CheckError {
    /// The head is down, has enough tests under way, or did not dial the server.
    #[error("the server was not asked")]
    NotAsked,
    /// The server could not be reached, or does not serve the protocol.
    #[error("the server could not be asked")]
    Failed,
    /// The server was asked too often, or does not dial such an address.
    #[error("the server refused the test")]
    Refused,
    /// The server connected to the head and could not finish, or said that it had and had not.
    #[error("the test was not finished")]
    Unfinished,
    /// There was no answer in time.
    #[error("the server did not answer in time")]
    Deadline,
}

/// Has servers test addresses of one head.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    checks: mpsc::Sender<Box<Check>>,
    permits: Arc<Semaphore>,
}

/// A test that was asked for.
#[derive(Debug)]
pub(crate) struct Check {
    server: PeerId,
    /// Where the server is dialed if the head has no connection to it.
    addresses: Vec<Multiaddr>,
    /// What is tested.
    tested: Multiaddr,
    outcome: oneshot::Sender<Result<Verdict, CheckError>>,
    _permit: OwnedSemaphorePermit,
}

impl Client {
    fn new() -> (Self, mpsc::Receiver<Box<Check>>) {
        let (checks, asked) = mpsc::channel(CHECKS_MAX);
        (Self { checks, permits: Arc::new(Semaphore::new(CHECKS_MAX)) }, asked)
    }

    /// Asks a server whether it reaches the head at the address `tested`. Without a connection that the head opened,
    /// the server is dialed at `addresses`.
    ///
    /// # Errors
    /// [`CheckError`], as told there.
    ///
    /// # Cancel safety
    /// Dropping the future gives the test up. What was sent is not taken back.
    pub(crate) async fn check(
        &self,
        server: PeerId,
        addresses: Vec<Multiaddr>,
        tested: Multiaddr,
    ) -> Result<Verdict, CheckError> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| CheckError::NotAsked)?;
        let (outcome, told) = oneshot::channel();
        let check = Check { server, addresses, tested, outcome, _permit: permit };
        self.checks.try_send(Box::new(check)).map_err(|_| CheckError::NotAsked)?;
        match tokio::time::timeout(WAIT, told).await {
            Ok(told) => told.unwrap_or(Err(CheckError::Failed)),
            Err(_) => Err(CheckError::Deadline),
        }
    }
}

impl Check {
    fn end(self, outcome: Result<Verdict, CheckError>) {
        // Whoever asked may have given up.
        let _given_up = self.outcome.send(outcome).is_err();
    }
}

/// The peers that said they test addresses. Those that were met longest ago are forgotten first.
#[derive(Debug)]
pub(crate) struct Servers(Cache<PeerId, ()>);

impl Default for Servers {
    fn default() -> Self {
        Self(Cache::new(SERVERS_MAX))
    }
}

impl Servers {
    /// Notes what identify told of a peer.
    pub(crate) fn on_identified(&self, peer: &PeerId, protocols: &[StreamProtocol]) {
        // Its other connections may not offer the protocol, so a peer is not removed.
        if protocols.contains(&DIAL_REQUEST) {
            self.0.insert(*peer, ());
        }
    }

    /// Whether the peer said that it tests addresses.
    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        self.0.contains_key(peer)
    }
}

#[cfg(test)]
mod tests;

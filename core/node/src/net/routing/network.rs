//! What the table and the advertiser send to other servers, and how fast.

use crate::net::address::ip_of;
use crate::net::dial_gate::DialGate;
use crate::net::heads::Head;
use crate::net::peer_addresses::PeerAddresses;
use crate::net::routing::lookup::Contact;
use crate::net::routing::scout::Scout;
use hydra_kad::{AskError, Request};
use libp2p::{Multiaddr, PeerId};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// In whose name a request is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sender<'a> {
    /// The scout's.
    Scout,
    /// A head's.
    Head(&'a Head),
}

/// The servers around the node, real or simulated.
pub(crate) trait Network: fmt::Debug + Send + Sync + 'static {
    /// Asks a server for the peers closest to a key.
    ///
    /// # Errors
    /// [`AskError`], as told there.
    fn find_node(
        &self,
        sender: Sender<'_>,
        to: Contact,
        key: Vec<u8>,
    ) -> impl Future<Output = Result<Vec<Contact>, AskError>> + Send;

    /// Where a server is that has just answered: the address at which it was reached, and those that it told.
    fn whereabouts(&self, contact: &Contact) -> (Option<IpAddr>, Vec<Multiaddr>);

    /// Whether a head could dial one of these addresses of a peer now.
    fn has_room(&self, peer: &PeerId, addresses: &[Multiaddr]) -> bool;
}

/// The real network.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Sends the requests of nobody in particular.
    pub(crate) scout: Scout,
    /// What every dial passes.
    pub(crate) dials: Arc<DialGate>,
    /// The addresses of peers that were met.
    pub(crate) peer_addresses: Arc<PeerAddresses>,
    /// How long a peer has to answer.
    pub(crate) timeout: Duration,
}

impl Network for Wire {
    async fn find_node(
        &self,
        sender: Sender<'_>,
        to: Contact,
        key: Vec<u8>,
    ) -> Result<Vec<Contact>, AskError> {
        let request = Request::FindNode { key: key.into() };
        let answer = match sender {
            Sender::Scout => self.scout.ask(to.peer, to.addresses, request, self.timeout).await?,
            Sender::Head(head) => {
                let client = head.client.load_full().ok_or(AskError::Closed)?;
                let addresses = self.dials.choose(&to.peer, to.addresses);
                client.ask(to.peer, addresses, request, self.timeout).await?
            }
        };
        let heard = answer.closer.into_iter();
        Ok(heard.map(|peer| Contact { peer: peer.peer, addresses: peer.addresses }).collect())
    }

    fn whereabouts(&self, contact: &Contact) -> (Option<IpAddr>, Vec<Multiaddr>) {
        // What it told of itself by now is better than what others, or a name in the config, told of it.
        let told = self.peer_addresses.find(&contact.peer).map(|met| met.addresses.clone());
        (
            self.dials.reached(&contact.peer).as_ref().and_then(ip_of),
            told.unwrap_or_else(|| contact.addresses.clone()),
        )
    }

    fn has_room(&self, peer: &PeerId, addresses: &[Multiaddr]) -> bool {
        self.dials.has_room(peer, addresses, Instant::now())
    }
}

/// Spreads requests over time: so many a second, for all that share it.
#[derive(Debug)]
pub(crate) struct Pacer {
    next: Mutex<Option<tokio::time::Instant>>,
}

/// Requests a second of a node with few heads, and of each head of a larger one. Every head of a thousand can ask some 40
/// servers for itself in five minutes, and be looked up in ten.
const PER_SECOND_MIN: u32 = 20;
const HEADS_PER_REQUEST: u32 = 2;
/// Time that was not used is made up for this long.
const BURST: Duration = Duration::from_millis(100);

impl Default for Pacer {
    fn default() -> Self {
        Self { next: Mutex::new(None) }
    }
}

impl Pacer {
    /// The pace of a node with so many heads.
    pub(crate) fn per_second(heads: usize) -> u32 {
        PER_SECOND_MIN.max(u32::try_from(heads).unwrap_or(u32::MAX) / HEADS_PER_REQUEST)
    }

    /// Waits for the turn of one request.
    ///
    /// # Cancel safety
    /// Dropping the future loses the turn.
    pub(crate) async fn turn(&self, heads: usize) {
        let now = tokio::time::Instant::now();
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let at = next.map_or(now, |next| next.max(now.checked_sub(BURST).unwrap_or(now)));
            *next = Some(at + Duration::from_secs(1) / Self::per_second(heads));
            at
        };
        tokio::time::sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_are_spread_over_time_for_all_that_share_the_pace() {
        let pacer = Pacer::default();
        let started = tokio::time::Instant::now();
        for _ in 0..100 {
            tokio::join!(pacer.turn(3), pacer.turn(3));
        }
        let took = started.elapsed();
        assert!(took >= Duration::from_secs(9) && took <= Duration::from_secs(11), "{took:?}");
        assert_eq!((Pacer::per_second(3), Pacer::per_second(1_000)), (20, 500));
    }
}

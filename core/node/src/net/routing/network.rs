//! What the table and the advertiser send to other servers, and how fast.

use crate::net::address::ip_of;
use crate::net::dial_gate::DialGate;
use crate::net::heads::Head;
use crate::net::peer_addresses::{ADDRESSES_PER_PEER_MAX, PeerAddresses, worth_keeping};
use crate::net::routing::lookup::Contact;
use crate::net::routing::scout::Scout;
use hydra_kad::{AnswerPeer, AskError, Request};
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
        Ok(answer.closer.into_iter().map(heard).collect())
    }

    fn whereabouts(&self, contact: &Contact) -> (Option<IpAddr>, Vec<Multiaddr>) {
        let told = self.peer_addresses.find(&contact.peer).map(|met| met.addresses.clone());
        whereabouts(contact, self.dials.reached(&contact.peer), told)
    }

    fn has_room(&self, peer: &PeerId, addresses: &[Multiaddr]) -> bool {
        self.dials.has_room(peer, addresses, Instant::now())
    }
}

/// A peer that an answer names, as much of it as is worth keeping.
fn heard(named: AnswerPeer) -> Contact {
    let addresses = worth_keeping(&named.peer, named.addresses, ADDRESSES_PER_PEER_MAX);
    Contact { peer: named.peer, addresses }
}

/// The address at which a server was reached, and those that it told. Until it told any it is where it was reached, and
/// nowhere else: the other addresses are the word of another peer, or names in the config.
fn whereabouts(
    contact: &Contact,
    reached: Option<Multiaddr>,
    told: Option<Vec<Multiaddr>>,
) -> (Option<IpAddr>, Vec<Multiaddr>) {
    let ip = reached.as_ref().and_then(ip_of);
    let known = told.or_else(|| reached.map(|address| vec![address]));
    (ip, known.unwrap_or_else(|| contact.addresses.clone()))
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

    #[test]
    fn of_those_that_an_answer_names_no_more_is_kept_than_of_those_that_are_met() {
        let path = "a".repeat(4_000);
        let long = |nth| format!("/ip4/1.1.1.{nth}/tcp/1/http-path/{path}").parse().unwrap();
        let mut addresses: Vec<Multiaddr> = (0..30).map(long).collect();
        let direct: Multiaddr = "/ip4/1.1.1.1/tcp/1".parse().unwrap();
        addresses.push(direct.clone());
        let peer = PeerId::random();
        let named = AnswerPeer { peer, addresses, connection: hydra_kad::Connection::NotConnected };
        assert_eq!(heard(named), Contact { peer, addresses: vec![direct] });
    }

    #[test]
    fn a_server_is_where_it_was_reached_until_it_tells_where_it_is() {
        let [reached, appended]: [Multiaddr; 2] =
            ["/ip4/1.1.1.1/tcp/1", "/ip4/8.8.8.8/tcp/1"].map(|text| text.parse().unwrap());
        let contact = Contact { peer: PeerId::random(), addresses: vec![appended.clone(), reached.clone()] };
        let ip = ip_of(&reached);
        assert_eq!(whereabouts(&contact, Some(reached.clone()), None), (ip, vec![reached.clone()]));
        let told = vec![appended];
        assert_eq!(whereabouts(&contact, Some(reached), Some(told.clone())), (ip, told));
    }

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

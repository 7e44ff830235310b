//! Which of its addresses a head advertises.

use crate::config::{AddressPolicy, Cidr, Config};
use crate::net::address::{best_first, is_within};
use crate::net::ports;
use libp2p::Multiaddr;

/// What decides which addresses a head advertises in identify, in answers and in the peer table: the same everywhere.
#[derive(Debug)]
pub(crate) struct OwnAddresses {
    announced: Vec<Multiaddr>,
    listening: Listening,
    never: Vec<Cidr>,
    policy: AddressPolicy,
}

/// What happens to the addresses on which a head listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listening {
    Advertised,
    Hidden,
}

impl OwnAddresses {
    /// The rules of this config, for the head that listens on this port.
    pub(crate) fn of(config: &Config, port: u16) -> Self {
        let heads = &config.heads;
        Self {
            announced: ports::announced(heads, port),
            listening: if heads.announce_only.is_empty() { Listening::Advertised } else { Listening::Hidden },
            never: heads.never_announce.clone(),
            policy: config.network.addresses,
        }
    }

    /// The addresses to advertise, the best ones first: those that are announced and served, and those on which the head
    /// listens.
    pub(crate) fn advertised(
        &self,
        listening: &[Multiaddr],
        is_served: impl Fn(&Multiaddr) -> bool,
    ) -> Vec<Multiaddr> {
        let announced = self.announced.iter().filter(|address| is_served(address));
        let listening = match self.listening {
            Listening::Advertised => listening,
            Listening::Hidden => &[],
        };
        let mut advertised = Vec::new();
        for address in announced.chain(listening) {
            let is_permitted = self.policy.permits(address) && !is_within(address, &self.never);
            if is_permitted && !advertised.contains(address) {
                advertised.push(address.clone());
            }
        }
        best_first(advertised)
    }
}

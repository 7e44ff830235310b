//! The addresses that the heads advertise, against those that peers can reach.

use super::heads;
use crate::config::{AddressPolicy, Issue, KeyPath, Loaded, Network, PeerAddress};
use crate::net::address::is_within;
use libp2p::Multiaddr;
use std::net::IpAddr;

/// Addresses that peers of the same policy drop.
pub(super) fn not_permitted(loaded: &Loaded) -> Vec<Issue> {
    let policy = loaded.config.network.addresses;
    let (key, announced) = loaded.config.heads.announced();
    let refused = announced.iter().enumerate().filter(|(_, address)| !policy.permits(address));
    let issue = |(index, address)| {
        let message =
            format!("`{address}` is not permitted by `network.addresses`, which is `{}`", policy.as_str());
        let help =
            "announce an address at which clients of the network reach the heads, or change the policy";
        loaded.issue(heads(key).item(index), message, Some(help.to_owned()))
    };
    refused.map(issue).collect()
}

/// What is no mistake of a valid config, but hardly meant.
pub(crate) fn address_warnings(loaded: &Loaded) -> Vec<Issue> {
    private_in_public(loaded).into_iter().chain(none_left(loaded)).chain(not_dialed(loaded)).collect()
}

/// Bootstrap peers that the node does not dial at these addresses.
pub(super) fn not_dialed(loaded: &Loaded) -> Vec<Issue> {
    let network = &loaded.config.network;
    let peers = network.bootstrap.iter().enumerate();
    let refused = peers.filter(|(_, peer)| !network.addresses.permits(peer.address()));
    let issue = |(index, peer)| {
        let policy = network.addresses.as_str();
        let message = format!("`{peer}` is not dialed: `network.addresses` is `{policy}`");
        let help = "remove it, or change the policy";
        loaded.issue(
            KeyPath::root().key("network").key("bootstrap").item(index),
            message,
            Some(help.to_owned()),
        )
    };
    refused.map(issue).collect()
}

/// A node that joins the public network and keeps addresses that nobody there can reach.
pub(super) fn private_in_public(loaded: &Loaded) -> Option<Issue> {
    let network = &loaded.config.network;
    let is_public = |peer: &PeerAddress| AddressPolicy::Public.permits(peer.address());
    let joins = network.protocol == Network::PROTOCOL && network.bootstrap.iter().any(is_public);
    (joins && network.addresses == AddressPolicy::Any).then(|| {
        let message = "the node joins the public IPFS DHT and keeps and returns private addresses, which nobody there can reach";
        let help = "set `network.addresses` to \"public\", or give a private network a `network.protocol` of its own";
        let at = KeyPath::root().key("network").key("addresses");
        loaded.issue(at, message.to_owned(), Some(help.to_owned()))
    })
}

/// Heads whose every address is filtered away. The addresses of an interface are not known here: a wildcard counts as one
/// that is left, unless all addresses of its IP version are filtered.
pub(super) fn none_left(loaded: &Loaded) -> Option<Issue> {
    let (table, policy) = (&loaded.config.heads, loaded.config.network.addresses);
    let never = &table.never_announce;
    let is_left = |address: &Multiaddr| policy.permits(address) && !is_within(address, never);
    let is_ip_left = |ip: &IpAddr| match ip.is_unspecified() {
        true => !never.iter().any(|range| range.contains_all_like(*ip)),
        false => is_left(&Multiaddr::from(*ip)),
    };
    let (_, announced) = table.announced();
    let listens = table.announce_only.is_empty() && table.listen.iter().any(is_ip_left);
    if listens || announced.iter().any(is_left) {
        return None;
    }
    let by = if never.is_empty() {
        format!("`network.addresses`, which is \"{}\", permits", policy.as_str())
    } else {
        format!("`heads.never_announce` and `network.addresses`, which is \"{}\", leave", policy.as_str())
    };
    let message = format!("{by} no address of the heads: they advertise none, and no peer finds them");
    let help = "add an address at which peers reach the heads to `heads.announce` or `heads.announce_only`";
    let at = [heads("never_announce"), KeyPath::root().key("network").key("addresses"), heads("listen")];
    Some(loaded.issue_of(&at, message, Some(help.to_owned())))
}

//! Which servers are asked about an address.

use crate::net::address::{IpGroup, ip_of, is_public};
use crate::net::autonat::Servers;
use crate::net::heads::Way;
use crate::net::routing::table::{Server, Table};
use libp2p::Multiaddr;
use rand::seq::SliceRandom;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

/// The servers of the table that test addresses.
pub(super) fn of_table(table: &Table, testers: &Servers) -> Vec<Arc<Server>> {
    let snapshot = table.snapshot();
    let tests = |server: &&Arc<Server>| !server.is_own() && testers.contains(&server.peer);
    snapshot.servers().filter(tests).cloned().collect()
}

/// Those of the servers, in any order, that can tell of this address, each with its addresses of the same way: a host with
/// no address of an IP version can dial none. At most one of each address group.
pub(super) fn for_address(
    servers: &[Arc<Server>],
    address: &Multiaddr,
    way: Way,
) -> Vec<(Arc<Server>, Vec<Multiaddr>)> {
    let own = ip_of(address);
    let mut groups = HashSet::new();
    let mut fit: Vec<_> = servers.iter().collect();
    fit.shuffle(&mut rand::rng());
    let chosen = fit.into_iter().filter_map(|server| {
        let can_tell = |at: &&Multiaddr| Way::of(at) == Some(way) && can_tell(ip_of(at), own);
        let at: Vec<_> = server.addresses.iter().filter(can_tell).cloned().collect();
        let ip = at.first().and_then(ip_of);
        let is_new = ip.and_then(IpGroup::of).is_none_or(|group| groups.insert(group));
        (!at.is_empty() && is_new).then(|| (Arc::clone(server), at))
    });
    chosen.collect()
}

/// Whether a server at one address can tell of another: both are public, both on one machine, or both in a private
/// network. Whoever shares the address sees it from within. Of names nothing is known.
fn can_tell(server: Option<IpAddr>, own: Option<IpAddr>) -> bool {
    let (Some(server), Some(own)) = (server, own) else { return true };
    if own.is_loopback() || server.is_loopback() {
        return own.is_loopback() && server.is_loopback();
    }
    server != own && is_public(server) == is_public(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_tell_of_an_address_is_outside_of_it_and_in_the_same_network() {
        let can_tell =
            |server: &str, own: &str| can_tell(Some(server.parse().unwrap()), Some(own.parse().unwrap()));
        assert!(can_tell("1.1.1.1", "8.8.8.8"));
        assert!(can_tell("10.0.0.1", "192.168.0.1"));
        assert!(can_tell("127.0.0.1", "127.0.0.1"));
        for (server, own) in [
            ("1.1.1.1", "1.1.1.1"),
            ("10.0.0.1", "8.8.8.8"),
            ("1.1.1.1", "10.0.0.1"),
            ("1.1.1.1", "127.0.0.1"),
        ] {
            assert!(!can_tell(server, own), "{server} of {own}");
        }
    }
}

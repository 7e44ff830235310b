//! Rules about addresses: those that heads announce, and those of bootstrap peers.

use super::problem;
use crate::config::check::Problem;
use crate::config::path::KeyPath;
use crate::config::tables::{Heads, Network, Transport};
use multiaddr::{Multiaddr, Protocol};

/// The addresses that heads announce.
pub(super) fn announced(heads: &Heads, problems: &mut Vec<Problem>) {
    for (key, addresses) in [("announce", &heads.announce), ("announce_only", &heads.announce_only)] {
        for (index, address) in addresses.iter().enumerate() {
            let at = KeyPath::root().key("heads").key(key).item(index);
            if let Some((message, help)) = cannot_be_dialed(address) {
                problems.push(Problem::of_value(at, message, Some(help.to_owned())));
            } else if addresses.iter().take(index).any(|other| other == address) {
                let message = format!("`{address}` is listed twice");
                problems.push(Problem::of_value(at, message, Some("remove it".to_owned())));
            } else if address.iter().any(|part| matches!(part, Protocol::P2p(_))) {
                let help = "remove it: every head adds its own peer id".to_owned();
                problems.push(Problem::of_value(at, "the address contains /p2p/", Some(help)));
            } else if let Some((message, help)) = is_not_served(heads, address) {
                problems.push(Problem::of_value(at, message, Some(help.to_owned())));
            }
        }
    }
    if !heads.announce.is_empty() && !heads.announce_only.is_empty() {
        let message = "excludes `announce`, which is set as well";
        let help = "list all addresses in `announce_only`, or in `announce` if listen addresses are to be advertised too";
        problems.push(problem("heads", "announce_only", message, help));
    }
}

/// A peer is dialed at an address once.
pub(super) fn bootstrap(network: &Network, problems: &mut Vec<Problem>) {
    let peers = &network.bootstrap;
    for (index, peer) in peers.iter().enumerate() {
        if peers.iter().take(index).any(|other| other == peer) {
            let at = KeyPath::root().key("network").key("bootstrap").item(index);
            problems.push(Problem::of_value(
                at,
                format!("`{peer}` is listed twice"),
                Some("remove it".to_owned()),
            ));
        }
    }
}

/// Why no peer can dial an address, whoever serves it, and what to write instead.
fn cannot_be_dialed(address: &Multiaddr) -> Option<(String, &'static str)> {
    const EXAMPLE: &str =
        "expected an address such as `/ip4/192.0.2.1/tcp/0` or `/dns4/a.example/udp/0/quic-v1`";
    let mut parts = address.iter();
    let has_host = match parts.next() {
        None => return Some(("an empty address is not accepted".to_owned(), EXAMPLE)),
        Some(Protocol::Ip4(ip)) if ip.is_unspecified() => false,
        Some(Protocol::Ip6(ip)) if ip.is_unspecified() => false,
        Some(Protocol::Tcp(_) | Protocol::Udp(_)) => false,
        Some(_) => true,
    };
    if !has_host {
        return Some((format!("`{address}` names no host that peers can reach"), EXAMPLE));
    }
    let ends = matches!(
        address.iter().last(),
        Some(
            Protocol::Ip4(_)
                | Protocol::Ip6(_)
                | Protocol::Dns(_)
                | Protocol::Dns4(_)
                | Protocol::Dns6(_)
                | Protocol::Udp(_)
        )
    );
    ends.then(|| (format!("`{address}` names no transport"), EXAMPLE))
}

/// Why the heads do not answer at an address that only they can serve. One with WebSocket may lead to a proxy before them.
fn is_not_served(heads: &Heads, address: &Multiaddr) -> Option<(String, &'static str)> {
    const PLAIN: &str =
        "port 0 stands for the port of the head: end the address with `/tcp/0` or `/udp/0/quic-v1`";
    if address.iter().any(|part| matches!(part, Protocol::P2pCircuit)) {
        let help = "remove it: heads are not reached through relays";
        return Some((format!("`{address}` leads through a relay"), help));
    }
    let parts: Vec<_> = address.iter().skip(1).collect();
    let is_own = matches!(parts.first(), Some(Protocol::Tcp(0) | Protocol::Udp(0)));
    let wanted = match &parts[..] {
        [Protocol::Tcp(0)] => Transport::Tcp,
        [Protocol::Udp(_), Protocol::QuicV1] => Transport::Quic,
        _ if is_own => return Some((format!("`{address}` is not served by the port of the head"), PLAIN)),
        _ => return None,
    };
    (!heads.transports.contains(&wanted)).then(|| {
        let message = format!("`{address}` is not served: `heads.transports` has no `{}`", wanted.as_str());
        (message, "remove it, or add the transport")
    })
}

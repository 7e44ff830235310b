//! Which of a peer's addresses are worth most to others.

use super::{AddressPolicy, ip_of, is_relayed};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use std::net::IpAddr;

/// The addresses with the best ones first, so that the first few stand for all where not all can be told (V17).
///
/// Public ones come before private ones, direct before relayed, plain TCP and QUIC before what needs more. Of those that
/// are equal so far one of each kind (IPv4, IPv6 or name, by TCP or QUIC) comes before the second of any: whoever
/// speaks one of them alone finds it among the first. Otherwise the order stays.
pub(crate) fn best_first(addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    let mut kinds_seen = [[0_usize; Kind::COUNT]; Reach::COUNT];
    let mut ranked: Vec<_> = addresses
        .into_iter()
        .map(|address| {
            let (reach, kind) = (Reach::of(&address), Kind::of(&address));
            let seen = &mut kinds_seen[reach as usize][kind.index()];
            *seen += 1;
            ((reach, kind.transport == Transport::Other, *seen), address)
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, address)| address).collect()
}

/// From where an address is reached, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Public,
    PublicRelayed,
    Private,
    PrivateRelayed,
    /// From its own machine alone.
    Loopback,
}

impl Reach {
    const COUNT: usize = 5;

    fn of(address: &Multiaddr) -> Self {
        match (AddressPolicy::Public.permits(address), is_relayed(address)) {
            (true, false) => Self::Public,
            (true, true) => Self::PublicRelayed,
            _ if ip_of(address).is_some_and(|ip| ip.is_loopback() || ip.is_unspecified()) => Self::Loopback,
            (false, false) => Self::Private,
            (false, true) => Self::PrivateRelayed,
        }
    }
}

/// What a peer must speak to use an address.
#[derive(Debug, Clone, Copy)]
struct Kind {
    host: Host,
    transport: Transport,
}

#[derive(Debug, Clone, Copy)]
enum Host {
    Ip4,
    Ip6,
    Name,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tcp,
    Quic,
    /// WebSocket, WebTransport, WebRTC and what is not known here.
    Other,
}

impl Kind {
    const COUNT: usize = 9;

    fn of(address: &Multiaddr) -> Self {
        let host = match ip_of(address) {
            Some(IpAddr::V4(_)) => Host::Ip4,
            Some(IpAddr::V6(_)) => Host::Ip6,
            None => Host::Name,
        };
        // What follows a relay is the way behind it.
        let way = address.iter().take_while(|part| !matches!(part, Protocol::P2pCircuit));
        let transport = way.fold(Transport::Other, |transport, part| match part {
            Protocol::Tcp(_) => Transport::Tcp,
            Protocol::QuicV1 => Transport::Quic,
            Protocol::Ip4(_)
            | Protocol::Ip6(_)
            | Protocol::Dns(_)
            | Protocol::Dns4(_)
            | Protocol::Dns6(_)
            | Protocol::P2p(_) => transport,
            _ => Transport::Other,
        });
        Self { host, transport }
    }

    fn index(self) -> usize {
        3 * self.host as usize + self.transport as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(texts: &[&str]) -> Vec<String> {
        let addresses = texts.iter().map(|text| text.parse().unwrap()).collect();
        best_first(addresses).iter().map(ToString::to_string).collect()
    }

    const RELAYED: &str =
        "/ip4/1.1.1.1/tcp/1/p2p/12D3KooWLU2znyJMtDiHArqAGbZn8CgUGp92kxDBtefftEEaHSZS/p2p-circuit";

    #[test]
    fn v17_public_comes_before_private_and_direct_before_relayed() {
        let best = [
            "/dns4/example.com/tcp/1",
            "/ip4/1.1.1.1/udp/1/quic-v1/webtransport",
            RELAYED,
            "/ip4/10.0.0.1/tcp/1",
            "/ip6/fc00::1/udp/1/quic-v1",
            "/ip4/127.0.0.1/tcp/1",
            "/ip6/::1/tcp/1",
        ];
        let shuffled = [best[5], best[4], best[1], best[2], best[6], best[0], best[3]];
        // Of equal ones the first stays first.
        let expected = [best[0], best[1], best[2], best[4], best[3], best[5], best[6]];
        assert_eq!(sorted(&shuffled), expected);
        assert_eq!(sorted(&expected), expected, "sorting again changes nothing");
    }

    #[test]
    fn v17_the_first_four_hold_one_of_each_kind() {
        // As a node with several interfaces tells them.
        let told = [
            "/ip4/1.1.1.1/tcp/4001",
            "/ip4/1.1.1.2/tcp/4001",
            "/ip4/1.1.1.3/tcp/4001",
            "/ip4/1.1.1.1/tcp/4002/ws",
            "/ip6/2606:4700::1/tcp/4001",
            "/ip6/2606:4700::2/tcp/4001",
            "/ip4/1.1.1.1/udp/4001/webrtc-direct",
            "/ip4/1.1.1.1/udp/4001/quic-v1/webtransport",
            "/ip4/1.1.1.1/udp/4001/quic-v1",
            "/ip4/1.1.1.2/udp/4001/quic-v1",
            "/ip6/2606:4700::1/udp/4001/quic-v1",
        ];
        let first = [told[0], told[4], told[8], told[10]];
        assert_eq!(sorted(&told)[..4], first);
        let others = sorted(&told)[8..].to_vec();
        assert_eq!(others, [told[3], told[6], told[7]].map(str::to_owned), "plain TCP and QUIC come before");
    }

    #[test]
    fn v17_what_is_equal_stays_in_order() {
        let told: Vec<_> = (1..50).map(|port| format!("/ip4/1.1.1.1/tcp/{port}")).collect();
        assert_eq!(sorted(&told.iter().map(String::as_str).collect::<Vec<_>>()), told);
    }
}

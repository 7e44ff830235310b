//! Which addresses are worth telling, and which of them belong to one operator.

mod names;
mod order;

pub(crate) use order::best_first;

use crate::config::Cidr;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use crate::config::AddressPolicy;

impl AddressPolicy {
    /// Whether an address may be told to others, kept of others and dialed (requirement Q8).
    ///
    /// One without any part is none: nobody is reached at it. One with several hosts before a relay is judged by each:
    /// which of them a transport dials is its own affair.
    pub fn permits(self, address: &Multiaddr) -> bool {
        let mut hosts = hosts_of(address);
        match self {
            _ if address.is_empty() => false,
            Self::Any => true,
            Self::Lan => hosts.all(|host| match host {
                Host::Ip(ip) => self.permits_ip(ip),
                Host::Name(_) => true,
            }),
            Self::Public => {
                let mut hosts = hosts.peekable();
                hosts.peek().is_some()
                    && hosts.all(|host| match host {
                        Host::Ip(ip) => self.permits_ip(ip),
                        Host::Name(name) => names::is_public(&name),
                    })
            }
        }
    }

    /// Whether a host with this IP address may be dialed.
    pub fn permits_ip(self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Lan => !is_public(ip) && !is_unusable(ip),
            Self::Public => is_public(ip),
        }
    }
}

/// A host as an address names it.
enum Host<'a> {
    Ip(IpAddr),
    Name(Cow<'a, str>),
}

/// The hosts in an address, as far as the first relay: what is behind that is the relay's affair.
fn hosts_of(address: &Multiaddr) -> impl Iterator<Item = Host<'_>> {
    let direct = address.iter().take_while(|part| !matches!(part, Protocol::P2pCircuit));
    direct.filter_map(|part| match part {
        Protocol::Ip4(ip) => Some(Host::Ip(IpAddr::V4(ip))),
        Protocol::Ip6(ip) => Some(Host::Ip(IpAddr::V6(ip))),
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) | Protocol::Dnsaddr(name) => {
            Some(Host::Name(name))
        }
        _ => None,
    })
}

/// The IP address in it, if it has no other host before a relay.
pub fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    let mut hosts = hosts_of(address);
    match (hosts.next(), hosts.next()) {
        (Some(Host::Ip(ip)), None) => Some(ip),
        _ => None,
    }
}

/// Whether its hosts, as far as the first relay, are names at least in part, which have to be resolved.
pub(crate) fn has_name(address: &Multiaddr) -> bool {
    hosts_of(address).any(|host| matches!(host, Host::Name(_)))
}

/// Whether a name in it stands for any number of addresses.
pub(crate) fn is_dnsaddr(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::Dnsaddr(_)))
}

/// Whether it goes over a relay.
pub fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::P2pCircuit))
}

/// Whether one of its IP addresses before a relay is in one of these ranges.
pub(crate) fn is_within(address: &Multiaddr, ranges: &[Cidr]) -> bool {
    hosts_of(address).any(|host| match host {
        Host::Ip(ip) => ranges.iter().any(|range| range.contains(ip)),
        Host::Name(_) => false,
    })
}

/// Whether packets to it are routed on the public internet.
///
/// IPv4 as in the IANA special-purpose registry (RFC 6890); IPv6 only global unicast, `2000::/3`, less documentation
/// and the prefixes that carry an IPv4 address (go-libp2p-kad-dht `dht_filters.go`).
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// The addresses of one peer, each once, without the peer's id at its end. One that ends in the id of somebody else is
/// not an address of this peer.
pub(crate) fn of_peer(peer: &PeerId, told: impl IntoIterator<Item = Multiaddr>) -> Vec<Multiaddr> {
    let mut kept: Vec<Multiaddr> = Vec::new();
    for mut address in told {
        match address.iter().last() {
            Some(Protocol::P2p(id)) if id != *peer => continue,
            Some(Protocol::P2p(_)) => drop(address.pop()),
            _ => {}
        }
        if !address.is_empty() && !kept.contains(&address) {
            kept.push(address);
        }
    }
    kept
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = a == 0
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 224;
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    let documentation = (a == 0x2001 && b == 0x0db8) || (a & 0xfff0) == 0x3ff0;
    let teredo_or_6to4 = (a == 0x2001 && b == 0) || a == 0x2002;
    (a & 0xe000) == 0x2000 && !documentation && !teredo_or_6to4
}

/// Whether nobody can be reached at it, or only this machine itself.
fn is_unusable(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// The group of addresses that counts as one operator: an IPv4 /16 or an IPv6 /32 (requirement T5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpGroup(u32, bool);

impl IpGroup {
    /// The group of a public address; others are in none, as in go, so private networks are not thinned out.
    pub fn of(ip: IpAddr) -> Option<Self> {
        is_public(ip).then_some(match ip {
            IpAddr::V4(ip) => Self(u32::from(ip) >> 16, false),
            IpAddr::V6(ip) => Self((u128::from(ip) >> 96) as u32, true),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(policy: AddressPolicy, address: &str) -> bool {
        policy.permits(&address.parse().unwrap())
    }

    #[test]
    fn q8_a_public_swarm_tells_public_addresses_only() {
        for public in ["/ip4/1.1.1.1/tcp/1", "/ip6/2606:4700::1/udp/1/quic-v1", "/dns4/example.com/tcp/1"] {
            assert!(permits(AddressPolicy::Public, public), "{public}");
        }
        let hidden = [
            "/ip4/10.0.0.1/tcp/1",
            "/ip4/172.16.3.4/tcp/1",
            "/ip4/192.168.1.1/tcp/1",
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/169.254.1.1/tcp/1",
            "/ip4/100.64.0.1/tcp/1",
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/240.0.0.1/tcp/1",
            "/ip4/224.0.0.1/tcp/1",
            "/ip4/198.18.0.1/tcp/1",
            "/ip4/203.0.113.9/tcp/1",
            "/ip6/::1/tcp/1",
            "/ip6/fe80::1/tcp/1",
            "/ip6/fc00::1/tcp/1",
            "/ip6/2001:db8::1/tcp/1",
            "/ip6/64:ff9b::1/tcp/1",
            "/dns4/localhost/tcp/1",
            "/ip4/10.0.0.1/tcp/1/p2p-circuit",
        ];
        for address in hidden {
            assert!(!permits(AddressPolicy::Public, address), "{address}");
            assert!(permits(AddressPolicy::Any, address), "{address}");
        }
        assert!(permits(AddressPolicy::Lan, "/ip4/10.0.0.1/tcp/1"));
        for not_lan in ["/ip4/0.0.0.0/tcp/1", "/ip4/1.1.1.1/tcp/1", "/ip6/2606:4700::1/tcp/1"] {
            assert!(!permits(AddressPolicy::Lan, not_lan), "{not_lan}");
        }
    }

    /// The rules of go-multiaddr's `net/private.go`, each by an address inside and one outside of it.
    #[test]
    fn names_and_numbers_are_public_as_for_go() {
        let public = [
            "/dns4/node.libp2p.io/tcp/1",
            "/dns/node.libp2p.io/udp/1/quic-v1",
            "/dns6/node.libp2p.io./tcp/1",
            "/dnsaddr/bootstrap.libp2p.io",
            "/dns4/latest/tcp/1",
            "/dns4/mylocalhost/tcp/1",
            "/dns4/contest/tcp/1",
            "/dns4/local.example.com/tcp/1",
            "/dns4/1.2.3.example/tcp/1",
            "/ip4/100.128.0.1/tcp/1",
            "/ip4/172.32.0.1/tcp/1",
            "/ip4/198.20.0.1/tcp/1",
            "/ip6/2a00::1/tcp/1",
        ];
        let hidden = [
            "/dns4/localhost/tcp/1",
            "/dns4/LOCALHOST/tcp/1",
            "/dns4/localhost./tcp/1",
            "/dns4/a.localhost/tcp/1",
            "/dns4/A.LocalHost./tcp/1",
            "/dns4/a.local/tcp/1",
            "/dns4/home.arpa/tcp/1",
            "/dns4/a.home.arpa/tcp/1",
            "/dns4/a.test/tcp/1",
            "/dns4/a.TEST./tcp/1",
            "/dnsaddr/a.invalid",
            "/dns4/1.0.0.127.in-addr.arpa/tcp/1",
            "/dns6/1.0.ip6.arpa/tcp/1",
            "/dns4/10.0.0.1/tcp/1",
            "/dns4/1.1.1.1/tcp/1",
            "/dns/1.1.1.1./tcp/1",
            "/dns4/2130706433/tcp/1",
            "/dns4/0x7f.1/tcp/1",
            "/dns4/127.0.0.0x1/tcp/1",
            "/dns6/::1/tcp/1",
            "/dns4/my..lan/tcp/1",
            "/dns4/./tcp/1",
            "/ip4/192.0.0.8/tcp/1",
            "/ip6/ff02::1/tcp/1",
            "/ip6/::ffff:1.1.1.1/tcp/1",
            "/tcp/1",
            "/memory/1",
        ];
        for address in public {
            assert!(permits(AddressPolicy::Public, address), "{address}");
        }
        for address in hidden {
            assert!(!permits(AddressPolicy::Public, address), "{address}");
        }
    }

    #[test]
    fn an_address_with_several_hosts_is_judged_by_each() {
        for address in [
            "/ip4/1.1.1.1/tcp/1/ip4/10.0.0.1/tcp/2",
            "/dns4/example.com/tcp/1/ip4/127.0.0.1/tcp/2",
            "/ip4/1.1.1.1/dns4/localhost/tcp/2",
        ] {
            assert!(!permits(AddressPolicy::Public, address), "{address}");
            assert_eq!(ip_of(&address.parse().unwrap()), None, "{address}");
        }
        assert!(!permits(AddressPolicy::Lan, "/ip4/10.0.0.1/tcp/1/ip4/1.1.1.1/tcp/2"));
    }

    #[test]
    fn addresses_of_a_peer_lose_its_id_and_are_there_once() {
        let (peer, other) = (PeerId::random(), PeerId::random());
        let plain = "/ip4/1.1.1.1/tcp/1";
        let relayed = format!("/ip4/1.1.1.2/tcp/1/p2p/{other}/p2p-circuit");
        let told = [
            plain.to_owned(),
            format!("{plain}/p2p/{peer}"),
            format!("/ip4/1.1.1.3/tcp/1/p2p/{other}"),
            relayed.clone(),
            format!("{relayed}/p2p/{peer}"),
            format!("/p2p/{peer}"),
            plain.to_owned(),
        ];
        let kept = of_peer(&peer, told.iter().map(|text| text.parse().unwrap()));
        assert_eq!(kept.iter().map(ToString::to_string).collect::<Vec<_>>(), [plain.to_owned(), relayed]);
    }

    #[test]
    fn an_address_without_any_part_is_none() {
        for policy in [AddressPolicy::Public, AddressPolicy::Lan, AddressPolicy::Any] {
            assert!(!policy.permits(&Multiaddr::empty()));
        }
    }

    #[test]
    fn t5_groups_are_ipv4_16_and_ipv6_32_of_public_addresses() {
        let group = |ip: &str| IpGroup::of(ip.parse().unwrap());
        assert_eq!(group("1.2.3.4"), group("1.2.200.1"));
        assert_ne!(group("1.2.3.4"), group("1.3.3.4"));
        assert_eq!(group("2606:4700::1"), group("2606:4700:ffff::2"));
        assert_ne!(group("2606:4700::1"), group("2606:4701::1"));
        assert_eq!(group("127.0.0.1"), None);
    }
}

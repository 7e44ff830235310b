//! Which addresses are worth telling, and which of them belong to one operator.

mod order;

pub(crate) use order::best_first;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use crate::config::AddressPolicy;

impl AddressPolicy {
    /// Whether an address may be told to others and kept of others (requirement Q8).
    ///
    /// One without any part is none: nobody is reached at it.
    pub fn permits(self, address: &Multiaddr) -> bool {
        match self {
            _ if address.is_empty() => false,
            Self::Any => true,
            Self::Lan => ip_of(address).is_none_or(|ip| !is_public(ip) && !is_unusable(ip)),
            Self::Public => match ip_of(address) {
                Some(ip) => is_public(ip),
                None => names_a_host(address),
            },
        }
    }
}

/// The first IP address in it, unless a name comes before.
pub fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    })
}

/// Whether it goes over a relay.
pub fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::P2pCircuit))
}

fn names_a_host(address: &Multiaddr) -> bool {
    let host = address.iter().find_map(|part| match part {
        Protocol::Dns(host) | Protocol::Dns4(host) | Protocol::Dns6(host) | Protocol::Dnsaddr(host) => {
            Some(host.into_owned())
        }
        _ => None,
    });
    host.is_some_and(|host| host != "localhost" && !host.ends_with(".localhost") && !host.ends_with(".local"))
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

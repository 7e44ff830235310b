//! Whether others can reach a head, by transport and IP version.

use crate::config::Transport;
use crate::net::autonat::Verdict;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// A transport over an IP version: a firewall or a port forwarding may let one through and not another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    /// The transport.
    pub(crate) transport: Transport,
    /// The IP version.
    pub(crate) family: Family,
}

/// An IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4.
    Ip4,
    /// IPv6.
    Ip6,
}

/// Whether others can reach a head on one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A peer reached it.
    Reachable,
    /// Several peers could not reach it.
    Unreachable,
    /// No test of an address that the head advertises had a result yet.
    Unknown,
}

/// What tests of one head's addresses have found, by way.
#[derive(Debug, Default)]
pub(crate) struct Found(Mutex<Results>);

type Results = [Option<Finding>; Way::ALL.len()];

/// What one test has found.
#[derive(Debug)]
struct Finding {
    tested: Multiaddr,
    verdict: Verdict,
    at: Instant,
}

impl Family {
    /// The word for it in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ip4 => "ip4",
            Self::Ip6 => "ip6",
        }
    }
}

impl Reach {
    /// Every one, in the order of their discriminants.
    pub(crate) const ALL: [Self; 3] = [Self::Reachable, Self::Unreachable, Self::Unknown];

    /// The word for it in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Reachable => "reachable",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
        }
    }
}

impl Way {
    /// Every way.
    pub(crate) const ALL: [Self; 4] = [
        Self { transport: Transport::Tcp, family: Family::Ip4 },
        Self { transport: Transport::Tcp, family: Family::Ip6 },
        Self { transport: Transport::Quic, family: Family::Ip4 },
        Self { transport: Transport::Quic, family: Family::Ip6 },
    ];

    /// The way of an address, if it is one that heads listen on. A name that stands for both IP versions has none.
    pub(crate) fn of(address: &Multiaddr) -> Option<Self> {
        let mut parts = address.iter();
        let family = match parts.next()? {
            Protocol::Ip4(_) | Protocol::Dns4(_) => Family::Ip4,
            Protocol::Ip6(_) | Protocol::Dns6(_) => Family::Ip6,
            _ => return None,
        };
        let transport = match (parts.next(), parts.next()) {
            (Some(Protocol::Tcp(_)), None) => Transport::Tcp,
            (Some(Protocol::Udp(_)), Some(Protocol::QuicV1)) => Transport::Quic,
            _ => return None,
        };
        parts.next().is_none().then_some(Self { transport, family })
    }

    /// Its place among [all](Self::ALL).
    pub(crate) fn index(self) -> usize {
        2 * usize::from(self.transport == Transport::Quic) + usize::from(self.family == Family::Ip6)
    }

    /// The words for it in JSON and in the log, as in `tcp/ip4`.
    pub(crate) fn words(self) -> String {
        format!("{}/{}", self.transport.as_str(), self.family.as_str())
    }
}

impl Found {
    /// Notes the result of a test.
    pub(crate) fn record(&self, way: Way, tested: Multiaddr, verdict: Verdict) {
        self.lock()[way.index()] = Some(Finding { tested, verdict, at: Instant::now() });
    }

    /// Forgets what was found out before: an address that nobody tests any more may not be what it was.
    pub(crate) fn forget_before(&self, then: Instant) {
        for result in self.lock().iter_mut() {
            result.take_if(|result| result.at < then);
        }
    }

    /// Whether the head can be reached on each way of its `advertised` addresses. What was found out about an address
    /// that is not advertised any more does not count.
    pub(crate) fn of(&self, advertised: &[Multiaddr]) -> Vec<(Way, Reach)> {
        let found = self.lock();
        let on = |way: Way| match &found[way.index()] {
            Some(result) if advertised.contains(&result.tested) => match result.verdict {
                Verdict::Reachable => Reach::Reachable,
                Verdict::Unreachable => Reach::Unreachable,
            },
            Some(_) | None => Reach::Unknown,
        };
        let has = |way: &Way| advertised.iter().any(|address| Way::of(address) == Some(*way));
        Way::ALL.into_iter().filter(has).map(|way| (way, on(way))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Results> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_way_is_a_transport_of_the_heads_over_an_ip_version() {
        for (index, text) in [
            "/ip4/1.1.1.1/tcp/1",
            "/dns6/a.example/tcp/1",
            "/dns4/a.example/udp/1/quic-v1",
            "/ip6/::1/udp/1/quic-v1",
        ]
        .iter()
        .enumerate()
        {
            let way = Way::of(&address(text)).unwrap();
            assert_eq!((way.index(), way), (index, Way::ALL[index]), "{text}");
        }
        for other in ["/dns/a.example/tcp/1", "/ip4/1.1.1.1/tcp/443/wss", "/ip4/1.1.1.1/udp/1", "/memory/1"] {
            assert_eq!(Way::of(&address(other)), None, "{other}");
        }
    }

    #[test]
    fn what_was_found_counts_as_long_as_the_address_is_advertised() {
        let (found, tcp) = (Found::default(), Way::ALL[0]);
        let [old, new, quic] =
            ["/ip4/1.1.1.1/tcp/1", "/ip4/1.1.1.2/tcp/1", "/ip4/1.1.1.1/udp/1/quic-v1"].map(address);
        let both = [old.clone(), quic];
        assert_eq!(found.of(&both), [(tcp, Reach::Unknown), (Way::ALL[2], Reach::Unknown)]);
        found.record(tcp, old, Verdict::Unreachable);
        assert_eq!(found.of(&both), [(tcp, Reach::Unreachable), (Way::ALL[2], Reach::Unknown)]);
        assert_eq!(found.of(std::slice::from_ref(&new)), [(tcp, Reach::Unknown)]);
        found.record(tcp, new.clone(), Verdict::Reachable);
        assert_eq!(found.of(&[new]), [(tcp, Reach::Reachable)]);
        assert_eq!(found.of(&[]), []);
    }
}

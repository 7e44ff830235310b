//! The ports on which the heads listen.

use crate::config::{Heads, Transport};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// The number of attempts to find a free port.
const TRIES: usize = 64;

/// What to do where an address to listen on is none of this machine.
pub(crate) const NOT_OF_THIS_MACHINE: &str = "not an address of this machine: list its own addresses in `heads.listen`, or \
    `0.0.0.0` and `::` for all of them; addresses at which clients reach it belong in `heads.announce`";

/// The wanted port if it is free on every address and transport and not `given` to another head, else another free port.
///
/// The function binds each port and releases it again: the transports share ports between processes silently, so a
/// second node on the same port would take half of the connections of the first.
///
/// # Errors
/// When the node can listen on no port.
pub(crate) fn port(heads: &Heads, wanted: u16, given: &HashSet<u16>) -> io::Result<u16> {
    let is_free = |port| {
        if given.contains(&port) { Err(io::ErrorKind::AddrInUse.into()) } else { is_free(heads, port) }
    };
    let mut tried = is_free(wanted);
    for _ in 0..TRIES {
        match tried {
            Err(cause) if cause.kind() == io::ErrorKind::AddrInUse => tried = any(heads).and_then(is_free),
            free_or_hopeless => return free_or_hopeless,
        }
    }
    tried
}

/// True if the port is free on every address and transport.
pub(crate) fn is_free_now(heads: &Heads, port: u16) -> bool {
    is_free(heads, port).is_ok()
}

/// A free port, selected by the system.
fn any(heads: &Heads) -> io::Result<u16> {
    let ip = heads.listen.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    Ok(TcpListener::bind(SocketAddr::new(ip, 0))?.local_addr()?.port())
}

fn is_free(heads: &Heads, port: u16) -> io::Result<u16> {
    if port == 0 {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let mut unsupported = None;
    let mut free = false;
    for ip in &heads.listen {
        for transport in &heads.transports {
            let tried = match transport {
                // SO_REUSEADDR: a port in TIME_WAIT counts as free, as after every restart.
                Transport::Tcp => listen_alone(SocketAddr::new(*ip, port)),
                Transport::Quic => udp_alone(SocketAddr::new(*ip, port)),
            };
            match tried {
                Ok(()) => free = true,
                Err(cause) if cause.kind() == io::ErrorKind::AddrInUse => return Err(cause),
                Err(cause) => unsupported = Some(cause),
            }
        }
    }
    match unsupported {
        Some(cause) if !free && cause.kind() == io::ErrorKind::AddrNotAvailable => {
            Err(io::Error::new(cause.kind(), format!("{cause}: {NOT_OF_THIS_MACHINE}")))
        }
        Some(cause) if !free => Err(cause),
        _ => Ok(port),
    }
}

fn listen_alone(address: SocketAddr) -> io::Result<()> {
    let socket = only(address, socket2::Type::STREAM)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1)
}

fn udp_alone(address: SocketAddr) -> io::Result<()> {
    only(address, socket2::Type::DGRAM)?.bind(&address.into())
}

/// A socket that accepts IPv6 only if its address is IPv6.
fn only(address: SocketAddr, kind: socket2::Type) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// The addresses a head listens on.
pub(crate) fn addresses(heads: &Heads, port: u16) -> Vec<Multiaddr> {
    let on = |ip: IpAddr| {
        heads.transports.iter().map(move |transport| match transport {
            Transport::Tcp => Multiaddr::from(ip).with(Protocol::Tcp(port)),
            Transport::Quic => Multiaddr::from(ip).with(Protocol::Udp(port)).with(Protocol::QuicV1),
        })
    };
    heads.listen.iter().copied().flat_map(on).collect()
}

/// The addresses of `heads.announce` or `heads.announce_only`; a port 0 in them stands for the head's own port.
pub(crate) fn announced(heads: &Heads, port: u16) -> Vec<Multiaddr> {
    let own = |part| match part {
        Protocol::Tcp(0) => Protocol::Tcp(port),
        Protocol::Udp(0) => Protocol::Udp(port),
        other => other,
    };
    heads.announced().1.iter().map(|address| address.iter().map(own).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn loopback() -> Heads {
        Heads { listen: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], ..Heads::default() }
    }

    #[test]
    fn a_port_that_is_taken_gives_way_to_a_free_one() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let wanted = taken.local_addr().unwrap().port();
        let given = port(&loopback(), wanted, &HashSet::new()).unwrap();
        assert_ne!(given, wanted);
        drop(taken);
        assert_eq!(port(&loopback(), given, &HashSet::new()).unwrap(), given);
        assert_ne!(port(&loopback(), given, &HashSet::from([given])).unwrap(), given, "another head has it");
    }

    #[test]
    fn a_port_taken_for_quic_alone_is_taken() {
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let wanted = taken.local_addr().unwrap().port();
        assert_ne!(port(&loopback(), wanted, &HashSet::new()).unwrap(), wanted);
    }

    #[test]
    fn each_address_and_transport_is_listened_on() {
        let heads = Heads { announce: vec!["/ip4/1.1.1.1/tcp/0".parse().unwrap()], ..Heads::default() };
        let all: Vec<_> = addresses(&heads, 20_000).iter().map(ToString::to_string).collect();
        assert_eq!(
            all,
            [
                "/ip4/0.0.0.0/tcp/20000",
                "/ip4/0.0.0.0/udp/20000/quic-v1",
                "/ip6/::/tcp/20000",
                "/ip6/::/udp/20000/quic-v1"
            ]
        );
        assert_eq!(announced(&heads, 20_000)[0].to_string(), "/ip4/1.1.1.1/tcp/20000");
        let heads = Heads { announce_only: heads.announce, announce: Vec::new(), ..heads };
        assert_eq!(announced(&heads, 20_000)[0].to_string(), "/ip4/1.1.1.1/tcp/20000");
    }
}

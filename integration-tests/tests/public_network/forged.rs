//! First packets of QUIC from addresses that their sender does not have: they take half of the places of connections that are
//! being established, those of the networks they name, and no more.

use crate::hosts::{PATIENCE, TARGET, address, connect, settings};
use crate::namespace::HOSTS;
use hydra_integration_tests::network::PROTOCOL;
use hydra_integration_tests::node::{Head, Node};
use hydra_integration_tests::peer::Peer;
use libp2p::core::Endpoint;
use libp2p::core::transport::{DialOpts, PortUse, Transport};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, quic};
use socket2::{Domain, Socket, Type};
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

/// How many packets each of the two floods has.
const PACKETS: usize = 5_000;
/// How many of them differ: each is sent again later, from elsewhere.
const INITIALS: usize = 1_000;
/// How many are sent at once, and the pause after them: 500 a second take every place within one.
const BURST: usize = 5;
const PAUSE: Duration = Duration::from_millis(10);
/// The shortest datagram that may open a connection (RFC 9000, section 14.1).
const INITIAL_BYTES_MIN: usize = 1_200;
/// The type and the protocol of a socket whose user writes the headers of IP.
const SOCK_RAW: i32 = 3;
const IPPROTO_RAW: i32 = 255;
const UDP: u8 = 17;
const HEADERS_LEN: usize = 28;
/// What a client says first over TCP; the head answers the same.
const HELLO: &[u8] = b"\x13/multistream/1.0.0\n";

/// Sends packets with any source.
struct Forger {
    socket: Socket,
    to: SocketAddrV4,
    initials: Vec<Vec<u8>>,
}

/// Clients that got in while a flood lasted.
#[derive(Debug, Default)]
struct Admitted {
    tcp: u32,
    quic: u32,
}

pub(crate) async fn sources() {
    let own = settings();
    let node = Node::start(&own.each_ref().map(String::as_str)).await.unwrap();
    let [head, other] = node.heads() else { panic!("two heads") };
    let forger = Forger::new(head).await;

    // From one network, which uses up its own places alone.
    let neighbour = HOSTS[1].octets();
    let network = |at: usize| Ipv4Addr::new(neighbour[0], neighbour[1], neighbour[2], (at % 256) as u8);
    let admitted = forger.flood(network, head, head).await;
    assert!(admitted.tcp > 0 && admitted.quic > 0, "{admitted:?}");
    assert!(refused(&node, "pending_host").await + refused(&node, "pending_network").await > 0.0);

    // From everywhere, which leaves half of the places to TCP, and the other heads alone.
    let anywhere =
        |at: usize| Ipv4Addr::from_bits(0x0500_0000 + (at as u32).wrapping_mul(0x9e37_79b9) % 0x5000_0000);
    let admitted = forger.flood(anywhere, head, other).await;
    assert!(admitted.tcp > 0 && admitted.quic > 0, "{admitted:?}");
    assert!(refused(&node, "pending_head").await > 0.0, "the flood has taken its half");

    let gets_in = async {
        while Peer::client(PROTOCOL).find_node(head.quic(), TARGET).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, gets_in).await.expect("QUIC has places again once the handshakes are given up");
    Peer::client(PROTOCOL).find_node(head.tcp(), TARGET).await.expect("and so has TCP");
    let none_left = async {
        while node.metrics().await.unwrap().sum("hydra_connections_pending", &[]) > 0.0 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, none_left).await.expect("no place is kept");
}

async fn refused(node: &Node, reason: &str) -> f64 {
    node.metrics().await.unwrap().sum("hydra_connections_refused_total", &[("reason", reason)])
}

impl Forger {
    async fn new(head: &Head) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::from(SOCK_RAW), Some(IPPROTO_RAW.into())).unwrap();
        socket.set_nonblocking(true).unwrap();
        let port = |part| if let Protocol::Udp(port) = part { Some(port) } else { None };
        let port = head.quic().iter().find_map(port).unwrap();
        Self { socket, to: SocketAddrV4::new(HOSTS[0], port), initials: initials().await }
    }

    /// Sends its packets from these sources. Meanwhile clients connect over TCP to one head, one of them from a host whose
    /// address is forged, and over QUIC to another.
    async fn flood(&self, source: impl Fn(usize) -> Ipv4Addr, tcp: &Head, quic: &Head) -> Admitted {
        let is_over = AtomicBool::new(false);
        let flood = async {
            for at in 0..PACKETS {
                self.send(source(at), &self.initials[at % self.initials.len()]);
                if at % BURST == 0 {
                    sleep(PAUSE).await;
                }
            }
            is_over.store(true, Ordering::Relaxed);
        };
        let clients = async {
            let mut admitted = Admitted::default();
            // The places are taken by then.
            sleep(Duration::from_secs(1)).await;
            while !is_over.load(Ordering::Relaxed) {
                Peer::client(PROTOCOL).find_node(tcp.tcp(), TARGET).await.expect("TCP has places");
                is_greeted(tcp).await;
                admitted.tcp += 1;
                Peer::client(PROTOCOL).find_node(quic.quic(), TARGET).await.expect("QUIC has places");
                admitted.quic += 1;
            }
            admitted
        };
        tokio::join!(flood, clients).1
    }

    fn send(&self, from: Ipv4Addr, payload: &[u8]) {
        let len = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
        let mut packet = Vec::with_capacity(HEADERS_LEN + payload.len());
        // The kernel adds the number and the checksum of the IP header; UDP needs none over IPv4.
        packet.extend([0x45, 0]);
        packet.extend(len(HEADERS_LEN + payload.len()));
        packet.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
        packet.extend(from.octets());
        packet.extend(self.to.ip().octets());
        packet.extend(4001_u16.to_be_bytes());
        packet.extend(self.to.port().to_be_bytes());
        packet.extend(len(payload.len() + 8));
        packet.extend([0, 0]);
        packet.extend(payload);
        // A full queue drops it, as any network may.
        let _dropped = self.socket.send_to(&packet, &self.to.into()).is_err();
    }
}

/// A connection over TCP from a host whose address is forged: the head talks to it.
async fn is_greeted(head: &Head) {
    let greeted = async {
        let mut stream = connect(HOSTS[1], address(head)).await;
        stream.write_all(HELLO).await.unwrap();
        let mut answer = [0; HELLO.len()];
        stream.read_exact(&mut answer).await.expect("TCP has places for the host whose address is forged");
        assert_eq!(answer, HELLO);
    };
    timeout(PATIENCE, greeted).await.expect("the head answers");
}

/// First packets of as many clients, each with keys of its own: what a dial to a silent host sends.
async fn initials() -> Vec<Vec<u8>> {
    let silent = UdpSocket::bind((HOSTS[2], 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let at = Multiaddr::from(HOSTS[2]).with(Protocol::Udp(port)).with(Protocol::QuicV1);
    let mut transport = quic::tokio::Transport::new(quic::Config::new(&Keypair::generate_ed25519()));
    let (mut initials, mut seen, mut datagram) = (Vec::new(), HashSet::new(), [0; 2_048]);
    while initials.len() < INITIALS {
        let opts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };
        let mut dial = transport.dial(at.clone(), opts).unwrap();
        let sent = async {
            loop {
                let len = silent.recv(&mut datagram).await.unwrap();
                // The connection id of the destination, which an attempt keeps when it repeats or gives up.
                let id = datagram[6..6 + usize::from(datagram[5])].to_vec();
                if len >= INITIAL_BYTES_MIN && seen.insert(id) {
                    return datagram[..len].to_vec();
                }
            }
        };
        tokio::select! {
            ended = &mut dial => panic!("nobody answers: {:?}", ended.map(|(peer, _)| peer)),
            sent = timeout(PATIENCE, sent) => initials.push(sent.expect("a dial sends its first packet")),
        }
    }
    initials
}

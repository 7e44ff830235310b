//! Crowds of heads that are told of connections as their swarms would.

use super::*;
use crate::net::address::AddressPolicy;
use crate::net::routing::table::Limits;
use libp2p::core::ConnectedPoint;
use libp2p::swarm::behaviour::ConnectionEstablished;
use std::sync::atomic::AtomicBool;
use std::task::{Wake, Waker};
use std::time::Duration;

const MANY: Marks = Marks { max: 1_000, high: 1_000, low: 1_000 };

const NO_LIMITS: PlaceLimits = PlaceLimits {
    host_max: u32::MAX,
    network_max: u32::MAX,
    pending_node_max: u32::MAX,
    pending_host_max: u32::MAX,
    pending_network_max: u32::MAX,
};

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Fixture {
    table: Arc<Table>,
    node: Arc<NodeConnections>,
    next: usize,
}

impl Fixture {
    fn new(node: Marks) -> Self {
        let limits = Limits {
            len_max: 1_000,
            bucket_len_max: 1_000,
            bucket_group_len_max: usize::MAX,
            group_len_max: usize::MAX,
            group_own_max: 2,
        };
        let table = Arc::new(Table::new(AddressPolicy::Any, limits));
        table.set_own(PeerId::random(), &[address()], Instant::now());
        Self { table, node: Arc::new(NodeConnections::new(node, NO_LIMITS)), next: 0 }
    }

    fn head(&self, marks: Marks) -> ConnectionLimits {
        ConnectionLimits::new((marks, 1_000), Arc::clone(&self.node), Arc::default(), Arc::clone(&self.table))
    }

    fn connect(&mut self, head: &mut ConnectionLimits) -> (PeerId, ConnectionId) {
        self.connect_from(head, &address())
    }

    fn connect_from(&mut self, head: &mut ConnectionLimits, from: &Multiaddr) -> (PeerId, ConnectionId) {
        self.next += 1;
        let (peer, connection) = (PeerId::random(), ConnectionId::new_unchecked(self.next));
        let endpoint = ConnectedPoint::Listener { local_addr: address(), send_back_addr: from.clone() };
        head.handle_pending_inbound_connection(connection, &address(), from).unwrap();
        let _handler =
            head.handle_established_inbound_connection(connection, peer, &address(), from).unwrap();
        head.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id: peer,
            connection_id: connection,
            endpoint: &endpoint,
            failed_addresses: &[],
            other_established: 0,
        }));
        (peer, connection)
    }
}

fn address() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/4001".parse().unwrap()
}

/// The swarm's part: takes the orders to close, and tells that it is done.
fn close(head: &mut ConnectionLimits) -> Vec<PeerId> {
    let mut closed = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(order) = head.poll(&mut cx) {
        let ToSwarm::CloseConnection { peer_id, connection: CloseConnection::One(connection) } = order else {
            panic!("another order")
        };
        let endpoint = ConnectedPoint::Listener { local_addr: address(), send_back_addr: address() };
        head.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
            peer_id,
            connection_id: connection,
            endpoint: &endpoint,
            cause: None,
            remaining_established: 0,
        }));
        closed.push(peer_id);
    }
    closed
}

fn admits(head: &mut ConnectionLimits) -> bool {
    head.handle_pending_inbound_connection(ConnectionId::new_unchecked(0), &address(), &address()).is_ok()
}

#[test]
fn above_the_high_mark_the_longest_unused_are_closed_and_servers_of_the_table_stay() {
    let mut fixture = Fixture::new(MANY);
    let mut head = fixture.head(Marks { max: 100, high: 6, low: 3 });
    let held: Vec<_> = (0..6).map(|_| fixture.connect(&mut head)).collect();
    assert_eq!(close(&mut head), [], "the mark is not passed yet");
    fixture.table.insert(held[0].0, &[address()], None, Instant::now()).unwrap();
    let later = Instant::now() + Duration::from_secs(60);
    let _agent = head.activity.record(held[2].1, later);
    fixture.connect(&mut head);
    let closed = close(&mut head);
    assert_eq!(closed, [held[1].0, held[3].0, held[4].0, held[5].0], "neither server, nor used, nor new");
    assert_eq!((fixture.node.held(), fixture.node.trimmed()), (3, 4));
}

#[test]
fn as_many_as_there_may_be_and_the_next_is_refused() {
    let mut fixture = Fixture::new(Marks { max: 3, ..MANY });
    let mut one = fixture.head(Marks { max: 2, ..MANY });
    let mut two = fixture.head(Marks { max: 2, ..MANY });
    fixture.connect(&mut one);
    assert!(admits(&mut one));
    fixture.connect(&mut one);
    assert!(!admits(&mut one), "of the head");
    assert!(admits(&mut two));
    fixture.connect(&mut two);
    assert!(!admits(&mut two), "of the node");
    assert_eq!([Refusal::Head, Refusal::Node].map(|reason| fixture.node.refused(reason)), [1, 1]);
    drop(one);
    assert!(admits(&mut two), "a head that ends takes its connections with it");
    assert_eq!(fixture.node.held(), 1);
}

#[test]
fn every_head_closes_its_part_of_what_the_node_has_too_much() {
    let mut fixture = Fixture::new(Marks { max: 100, high: 20, low: 10 });
    let mut idle = fixture.head(MANY);
    let mut busy = fixture.head(MANY);
    for _ in 0..16 {
        fixture.connect(&mut idle);
    }
    for _ in 0..4 {
        fixture.connect(&mut busy);
    }
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    assert!(idle.poll(&mut Context::from_waker(&waker)).is_pending(), "the mark is not passed yet");

    fixture.connect(&mut busy);
    assert!(woken.0.load(Ordering::Relaxed), "nobody else would poll a head that nobody connects to");
    // Above the mark again before all have closed their part: that begins no second round.
    for _ in 0..3 {
        fixture.connect(&mut busy);
    }
    assert_eq!(close(&mut idle).len(), 8);
    assert_eq!(close(&mut busy).len(), 3);
    assert_eq!(fixture.node.held(), 13);
}

#[test]
fn a_head_that_ended_is_not_waited_for() {
    let mut fixture = Fixture::new(Marks { max: 100, high: 4, low: 2 });
    let mut gone = fixture.head(MANY);
    let mut stays = fixture.head(MANY);
    fixture.connect(&mut gone);
    for _ in 0..4 {
        fixture.connect(&mut stays);
    }
    assert_eq!(close(&mut stays).len(), 2, "the first round");
    drop(gone);
    for _ in 0..3 {
        fixture.connect(&mut stays);
    }
    assert_eq!(close(&mut stays).len(), 3, "the second round");
}

#[test]
fn v17_each_connection_has_the_agent_that_identify_told_of_it() {
    let mut fixture = Fixture::new(MANY);
    let mut head = fixture.head(MANY);
    let [rust, other, silent] = [(); 3].map(|()| fixture.connect(&mut head).1);
    head.identified(rust, "rust-libp2p/0.48.0");
    head.identified(other, "kubo/0.36.0");
    let gone = ConnectionId::new_unchecked(1_000);
    head.identified(gone, "rust-libp2p/0.48.0");
    let told = [rust, other, silent, gone].map(|one| head.activity.record(one, Instant::now()));
    assert_eq!(told, [Agent::RustLibp2p, Agent::Other, Agent::Unknown, Agent::Unknown]);
}

#[test]
fn one_host_with_fresh_identities_pushes_out_nobody_else() {
    let mut fixture = Fixture::new(MANY);
    let mut head = fixture.head(Marks { max: 1_000, high: 60, low: 40 });
    let others: Vec<_> = (0..30)
        .map(|host| {
            let from = format!("/ip4/1.2.{host}.4/tcp/4001").parse().unwrap();
            fixture.connect_from(&mut head, &from).0
        })
        .collect();
    let mut closed = Vec::new();
    for _ in 0..500 {
        fixture.connect_from(&mut head, &"/ip4/6.6.6.6/tcp/4001".parse().unwrap());
        closed.extend(close(&mut head));
    }
    assert!(closed.len() > 400);
    assert!(
        !others.iter().any(|idle| closed.contains(idle)),
        "they are idle, and longer than all of the other host"
    );
}

#[test]
fn a_connection_that_is_not_established_gives_its_place_back() {
    let mut fixture = Fixture::new(MANY);
    let mut head = fixture.head(MANY);
    head.pending_max = 1;
    let silent = ConnectionId::new_unchecked(7);
    head.handle_pending_inbound_connection(silent, &address(), &address()).unwrap();
    assert!(!admits(&mut head));
    assert_eq!((fixture.node.pending(), fixture.node.refused(Refusal::PendingHead)), (1, 1));
    head.on_swarm_event(FromSwarm::ListenFailure(ListenFailure {
        local_addr: &address(),
        send_back_addr: &address(),
        error: &ListenError::Aborted,
        connection_id: silent,
        peer_id: None,
    }));
    assert_eq!(fixture.node.pending(), 0);
    let _admitted = fixture.connect(&mut head);
}

#[test]
fn a_connection_that_the_limit_of_its_peer_refuses_gives_its_place_back() {
    let mut fixture = Fixture::new(MANY);
    let places = PlaceLimits { host_max: 1, ..NO_LIMITS };
    fixture.node = Arc::new(NodeConnections::new(MANY, places));
    let mut head = fixture.head(MANY);
    let none = libp2p::connection_limits::ConnectionLimits::default().with_max_established_per_peer(Some(0));
    let mut of_peer = libp2p::connection_limits::Behaviour::new(none);
    let (peer, from) = (PeerId::random(), "/ip4/1.2.3.4/tcp/4001".parse().unwrap());
    for refused in 1..=3 {
        let connection = ConnectionId::new_unchecked(refused);
        head.handle_pending_inbound_connection(connection, &address(), &from).unwrap();
        let _handler =
            head.handle_established_inbound_connection(connection, peer, &address(), &from).unwrap();
        let cause = of_peer.handle_established_inbound_connection(connection, peer, &address(), &from).err();
        head.on_swarm_event(FromSwarm::ListenFailure(ListenFailure {
            local_addr: &address(),
            send_back_addr: &from,
            error: &ListenError::Denied { cause: cause.unwrap() },
            connection_id: connection,
            peer_id: Some(peer),
        }));
        assert_eq!(fixture.node.refused(Refusal::Peer), refused as u64);
    }
    fixture.connect_from(&mut head, &from);
}

#[test]
fn near_the_memory_limit_inbound_connections_are_refused_also_those_that_are_being_established() {
    let mut fixture = Fixture::new(MANY);
    let mut head = fixture.head(MANY);
    let (from, pending) = (address(), ConnectionId::new_unchecked(90));
    head.handle_pending_inbound_connection(pending, &address(), &from).unwrap();
    fixture.node.set_inbound(Inbound::Refused);
    assert!(!admits(&mut head));
    let established =
        head.handle_established_inbound_connection(pending, PeerId::random(), &address(), &from);
    assert!(established.is_err());
    assert_eq!((fixture.node.refused(Refusal::Memory), fixture.node.pending()), (2, 0));
    fixture.node.set_inbound(Inbound::Admitted);
    fixture.connect(&mut head);
}

#[test]
fn near_the_memory_limit_every_head_closes_an_eighth_of_its_connections_the_longest_unused_first() {
    let mut fixture = Fixture::new(MANY);
    let mut heads: Vec<_> = (0..2).map(|_| fixture.head(MANY)).collect();
    let held: Vec<Vec<_>> =
        heads.iter_mut().map(|head| (0..16).map(|_| fixture.connect(head)).collect()).collect();
    fixture.node.close_least_useful();
    for (head, held) in heads.iter_mut().zip(&held) {
        assert_eq!(close(head), [held[0].0, held[1].0]);
        assert_eq!(close(head), [], "once in a round");
    }
    assert_eq!((fixture.node.closed_for_memory(), fixture.node.trimmed(), fixture.node.held()), (4, 0, 28));
    fixture.node.close_least_useful();
    assert_eq!(heads.iter_mut().map(|head| close(head).len()).sum::<usize>(), 4, "an eighth of 28");
}

/// Heads with few connections keep most of them, too.
#[test]
fn an_eighth_of_all_is_closed_though_no_head_has_eight() {
    let mut fixture = Fixture::new(MANY);
    let mut heads: Vec<_> = (0..16).map(|_| fixture.head(MANY)).collect();
    for head in &mut heads {
        (0..2).for_each(|_| _ = fixture.connect(head));
    }
    for closed in [4, 4] {
        fixture.node.close_least_useful();
        assert_eq!(heads.iter_mut().map(|head| close(head).len()).sum::<usize>(), closed);
    }
}

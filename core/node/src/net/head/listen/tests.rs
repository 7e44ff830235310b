use super::*;
use crate::net::address::AddressPolicy;
use crate::net::dial_gate::DialGate;
use crate::net::swarm::{Names, build};
use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::swarm::dummy;
use std::net::UdpSocket;
use std::sync::Arc;

fn swarm() -> Swarm<dummy::Behaviour> {
    let gate = Arc::new(DialGate::new(AddressPolicy::Any));
    let limits = (Duration::from_secs(1), 32);
    build(Keypair::generate_ed25519(), dummy::Behaviour, Names::Ignore, gate, limits, Arc::default()).unwrap()
}

/// Drives the head's part until every listener listens.
async fn all_up(swarm: &mut Swarm<dummy::Behaviour>, listeners: &mut Listeners) {
    while listeners.counts().down > 0 || !listeners.are_settled() {
        let again = listeners.next_retry().unwrap_or_else(|| Instant::now() + PAUSE_MAX);
        tokio::select! {
            event = swarm.select_next_some() => listeners.on_event(&event),
            () = tokio::time::sleep_until(again) => drop(listeners.retry(swarm)),
        }
    }
}

#[tokio::test]
async fn a_port_that_is_in_use_for_a_while_is_listened_on_in_the_end() {
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let addresses: Vec<Multiaddr> =
        [format!("/ip4/127.0.0.1/tcp/{port}"), format!("/ip4/127.0.0.1/udp/{port}/quic-v1")]
            .map(|text| text.parse().unwrap())
            .to_vec();
    let mut swarm = swarm();
    let mut listeners = Listeners::begin(&mut swarm, 0, &addresses).unwrap();
    while !listeners.are_settled() {
        let event = swarm.select_next_some().await;
        listeners.on_event(&event);
    }
    assert_eq!(listeners.counts(), ListenerCounts { up: 1, down: 1 });
    let announced = ["/ip4/1.1.1.1/tcp/4001", "/ip4/1.1.1.1/udp/4001/quic-v1", "/ip4/1.1.1.1/tcp/443/ws"]
        .map(|text| text.parse::<Multiaddr>().unwrap());
    assert_eq!(announced.each_ref().map(|address| listeners.serve(address)), [true, false, true]);

    drop(held);
    all_up(&mut swarm, &mut listeners).await;
    assert_eq!(listeners.counts(), ListenerCounts { up: 2, down: 0 });
    assert_eq!(swarm.listeners().count(), 2);
    assert!(announced.iter().all(|address| listeners.serve(address)));
}

#[tokio::test]
async fn a_listener_that_closes_is_opened_again() {
    let mut swarm = swarm();
    let address = ["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    let mut listeners = Listeners::begin(&mut swarm, 0, &address).unwrap();
    all_up(&mut swarm, &mut listeners).await;
    let State::Listening(id) = listeners.all[0].state else { panic!("it listens") };
    assert!(swarm.remove_listener(id));
    while listeners.counts().down == 0 {
        let event = swarm.select_next_some().await;
        listeners.on_event(&event);
    }
    all_up(&mut swarm, &mut listeners).await;
    assert_eq!(listeners.counts(), ListenerCounts { up: 1, down: 0 });
}

#[tokio::test]
async fn an_error_names_its_root_cause() {
    // No interface of this machine has it.
    let address =
        ["/ip4/192.0.2.1/tcp/4001".parse().unwrap(), "/ip4/192.0.2.1/udp/4001/quic-v1".parse().unwrap()];
    for address in address {
        let error = Listeners::begin(&mut swarm(), 0, std::slice::from_ref(&address)).unwrap_err();
        assert!(error.to_string().contains("annot assign requested address"), "{address}: {error}");
    }
}

/// As after a panic: the connections of the swarm that is gone hold its socket until they have ended.
#[tokio::test]
async fn a_swarm_that_starts_again_gets_the_port_of_quic_back() {
    let (mut first, mut client) = (swarm(), swarm());
    let mut listeners =
        Listeners::begin(&mut first, 0, &["/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()]).unwrap();
    all_up(&mut first, &mut listeners).await;
    let address = first.listeners().next().unwrap().clone();
    client.dial(address.clone()).unwrap();
    let (mut here, mut there) = (false, false);
    while !(here && there) {
        tokio::select! {
            event = first.select_next_some() => here |= is_established(&event),
            event = client.select_next_some() => there |= is_established(&event),
        }
    }
    drop(first);
    let mut second = swarm();
    // It may be free at once; it is free in the end.
    let mut listeners = loop {
        match Listeners::begin(&mut second, 0, std::slice::from_ref(&address)) {
            Ok(listeners) => break listeners,
            Err(_) => tokio::time::sleep(PAUSE / 10).await,
        }
    };
    all_up(&mut second, &mut listeners).await;
    assert_eq!(second.listeners().collect::<Vec<_>>(), [&address]);
    assert_eq!(listeners.counts(), ListenerCounts { up: 1, down: 0 });
}

fn is_established<E>(event: &SwarmEvent<E>) -> bool {
    matches!(event, SwarmEvent::ConnectionEstablished { .. })
}

/// What is logged on this thread.
#[derive(Debug, Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The error is the caller's to tell: many heads fail for the same reason.
#[tokio::test]
async fn a_head_that_can_listen_nowhere_logs_nothing() {
    let log = Log::default();
    let writer = log.clone();
    let _logging = tracing::subscriber::set_default(
        tracing_subscriber::fmt().with_writer(move || writer.clone()).finish(),
    );
    let nowhere: Vec<Multiaddr> =
        ["/ip4/192.0.2.1/tcp/0", "/ip4/192.0.2.1/udp/0/quic-v1"].map(|text| text.parse().unwrap()).to_vec();
    let mut swarm = swarm();
    let error = Listeners::begin(&mut swarm, 0, &nowhere).unwrap_err();
    assert!(error.to_string().contains("address of this machine"), "{error}");
    let logged = || String::from_utf8_lossy(&log.0.lock().unwrap()).matches("cannot listen").count();
    assert_eq!(logged(), 0);
    let one = [&nowhere[..], &["/ip4/127.0.0.1/tcp/0".parse().unwrap()]].concat();
    Listeners::begin(&mut swarm, 0, &one).unwrap();
    assert_eq!(logged(), 2);
}

//! What is dialed, and how often.

use super::*;

fn parsed(texts: &[String]) -> Vec<Multiaddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn of_one_peer_eight_permitted_addresses_are_dialed() {
    let (gate, peer) = (DialGate::new(AddressPolicy::Public), PeerId::random());
    let mut told: Vec<_> = (1..=20).map(|last| format!("/ip4/1.1.1.{last}/tcp/1")).collect();
    let forbidden = ["/ip4/127.0.0.1/tcp/1", "/ip4/169.254.169.254/tcp/80", "/dns4/localhost/tcp/1"];
    told.splice(0..0, forbidden.map(str::to_owned));
    told.push(format!("/ip4/1.1.2.1/tcp/1/p2p/{}/p2p-circuit", PeerId::random()));
    let chosen = gate.choose(&peer, parsed(&told));
    assert_eq!(chosen, parsed(&told[3..11]));
    assert_eq!(gate.refused(), [3, 0, 0]);
}

#[test]
fn a_name_that_leads_to_a_forbidden_host_is_not_dialed() {
    let gate = Arc::new(DialGate::new(AddressPolicy::Public));
    let now = Instant::now();
    for forbidden in ["10.0.0.1", "169.254.169.254", "::1"] {
        assert_eq!(gate.admit(forbidden.parse().unwrap(), Share::Whole, now).unwrap_err(), Refusal::Policy);
    }
    assert_eq!((gate.admitted(), gate.refused()), (0, [3, 0, 0]));
}

#[test]
fn dials_of_all_parts_share_the_budget_of_their_destination() {
    let gate = Arc::new(DialGate::new(AddressPolicy::Public));
    let (ip, now) = ("1.1.1.1".parse().unwrap(), Instant::now());
    let peer = PeerId::random();
    gate.reached.insert(peer, "/ip4/1.1.1.1/tcp/1".parse().unwrap());
    let address = ["/ip4/1.1.1.1/tcp/1".parse().unwrap()];
    let open: Vec<_> = (0..100).filter_map(|_| gate.admit(ip, Share::Whole, now).ok()).collect();
    assert_eq!((open.len(), gate.has_room(&peer, &address, now)), (8, false));
    drop(open);
    assert!(gate.has_room(&peer, &address, now), "eight of sixteen are left, and heads may take four");
    assert_eq!((0..100).filter(|_| gate.admit(ip, Share::Whole, now).is_ok()).count(), 8);
    assert_eq!((gate.admitted(), gate.has_room(&peer, &address, now)), (16, false));
}

/// One address after the other is dialed in vain, as often as the budget allows.
fn in_vain(dials: &Dials, peer: &PeerId, now: Instant) -> usize {
    (0..100).filter(|_| dials.admit(Some(peer), "1.1.1.1".parse().unwrap(), now).is_ok()).count()
}

#[test]
fn invented_peers_do_not_use_up_the_budget_of_those_that_were_reached_there() {
    let gate = Arc::new(DialGate::new(AddressPolicy::Public));
    let (checks, heads) = (gate.for_checks(), Dials::from(Arc::clone(&gate)));
    let (known, elsewhere, start) = (PeerId::random(), PeerId::random(), Instant::now());
    let dial = checks.admit(Some(&known), "1.1.1.1".parse().unwrap(), start).unwrap();
    dial.succeeded(known, format!("/ip4/1.1.1.1/tcp/1/p2p/{known}").parse().unwrap());
    gate.reached.insert(elsewhere, "/ip4/1.1.1.2/tcp/1".parse().unwrap());
    drop(dial);
    let (mut invented, mut checked) = (0, 0);
    for second in 60..1060 {
        let now = start + std::time::Duration::from_secs(second);
        invented += in_vain(&checks, &PeerId::random(), now) + in_vain(&heads, &elsewhere, now);
        checked += in_vain(&checks, &known, now);
    }
    assert_eq!(invented, 8 + 99);
    assert_eq!(checked, 8 + 100);
}

#[test]
fn heads_that_aim_at_a_server_leave_dials_to_its_check() {
    let gate = Arc::new(DialGate::new(AddressPolicy::Public));
    let (checks, heads) = (gate.for_checks(), Dials::from(Arc::clone(&gate)));
    let (server, mut now) = (PeerId::random(), Instant::now());
    gate.reached.insert(server, "/ip4/1.1.1.1/tcp/1".parse().unwrap());
    let address = ["/ip4/1.1.1.1/tcp/1".parse().unwrap()];
    for _ in 0..100 {
        in_vain(&heads, &server, now);
        assert!(!gate.has_room(&server, &address, now));
        now += std::time::Duration::from_secs(5);
    }
    assert!(in_vain(&checks, &server, now) >= 4, "two tries of two addresses");
}

#[test]
fn a_peer_of_the_config_is_dialed_where_the_config_says_until_it_was_reached() {
    let peer = PeerId::random();
    let configured = parsed(&["/dnsaddr/bootstrap.libp2p.io".to_owned(), "/ip4/1.1.1.1/tcp/1".to_owned()]);
    let gate = DialGate::new(AddressPolicy::Public).with_configured([(peer, configured.clone())]);
    let (gate, now) = (Arc::new(gate), Instant::now());
    let told = parsed(&["/ip4/8.8.8.8/tcp/1".to_owned()]);
    let chosen = gate.choose(&peer, told.clone());
    assert!(chosen.len() == 2 && chosen.iter().all(|address| configured.contains(address)), "{chosen:?}");
    in_vain(&gate.for_checks(), &PeerId::random(), now);
    assert_eq!(in_vain(&gate.for_checks(), &peer, now), 8);
    gate.reached.insert(peer, configured[1].clone());
    assert_eq!(gate.choose(&peer, told.clone()), told);
}

#[test]
fn of_the_names_that_others_tell_one_host_is_resolved() {
    let names = |kind: &str| (0..8).map(|nth| format!("/{kind}/{nth}.example.com")).collect::<Vec<_>>();
    let (gate, peer) = (DialGate::new(AddressPolicy::Public), PeerId::random());
    assert!(gate.choose(&peer, parsed(&names("dnsaddr"))).is_empty());
    let hosts: Vec<_> = names("dns4").iter().map(|name| format!("{name}/tcp/1")).collect();
    let mut told = parsed(&[names("dnsaddr"), hosts].concat());
    told.push("/ip4/1.1.1.1/tcp/1".parse().unwrap());
    assert_eq!(gate.choose(&peer, told.clone()), [told[8].clone(), told[16].clone()]);
    assert_eq!(gate.refused(), [0, 0, 8 + 15]);
}

#[test]
fn names_are_resolved_at_a_bounded_rate_and_those_of_the_config_always() {
    let peer = PeerId::random();
    let configured = parsed(&["/dnsaddr/bootstrap.libp2p.io".to_owned()]);
    let gate = DialGate::new(AddressPolicy::Public).with_configured([(peer, configured.clone())]);
    let name: Multiaddr = "/dns4/example.com/tcp/1".parse().unwrap();
    let start = Instant::now();
    let admitted = |now| (0..1_000).filter(|_| gate.resolve(&name, now).is_ok()).count();
    assert_eq!(admitted(start), 64);
    assert_eq!(admitted(start + Duration::from_secs(10)), 50);
    assert_eq!(gate.refused(), [0, 0, 936 + 950]);
    let own = configured[0].clone().with(Protocol::P2p(peer));
    assert_eq!(gate.resolve(&own, start), Ok(()));
}

//! Answers with a limit of their own: what is trimmed first, and what stays (V17).

use super::*;

/// What a stock rust-libp2p client reads.
const LIMIT: usize = 16 << 10;

fn request() -> Request {
    Request::GetProviders { key: vec![9; 34].into() }
}

/// A peer with so many addresses of this length, told apart by their first byte.
fn peer(nth: u8, addresses: u8, len: usize) -> ListedPeer {
    let address = |at: u8| [vec![at], vec![nth; len - 1]].concat();
    let peer = EncodedPeer::new(&[nth; 38], (0..addresses).map(address));
    ListedPeer { peer, connection: Connection::from_wire(i32::from(nth % 2)) }
}

fn peers(count: u8, addresses: u8, len: usize) -> Vec<ListedPeer> {
    (0..count).map(|nth| peer(nth, addresses, len)).collect()
}

fn small(closer: Vec<ListedPeer>, providers: Vec<ListedPeer>) -> Response {
    Response { closer, providers: providers.into(), frame_bytes_max: Some(LIMIT), ..Response::default() }
}

/// The answer as the remote reads it, which fits.
fn read(response: &Response) -> oracle::Message {
    let frame = response.encode(&request(), 1 << 22).unwrap();
    assert!(frame.len() <= LIMIT, "{} bytes", frame.len());
    oracle::Message::decode(&frame[..]).unwrap()
}

/// How many addresses each peer has; they are the first ones, in order.
fn addresses(peers: &[oracle::Peer]) -> Vec<usize> {
    for peer in peers {
        let firsts: Vec<_> = peer.addresses.iter().map(|address| address[0]).collect();
        assert_eq!(firsts, (0..peer.addresses.len() as u8).collect::<Vec<_>>(), "the best ones");
    }
    peers.iter().map(|peer| peer.addresses.len()).collect()
}

#[test]
fn v17_an_answer_that_fits_to_the_byte_is_not_trimmed() {
    let answer = |last| Response {
        closer: peers(20, 16, 30),
        providers: [peers(6, 16, 30), vec![peer(6, 1, last)]].concat().into(),
        ..Response::default()
    };
    let whole = |last| answer(last).encode(&request(), 1 << 22).unwrap();
    let exact = 1000 + LIMIT - whole(1000).len();
    assert_eq!((whole(exact).len(), whole(exact + 1).len()), (LIMIT, LIMIT + 1));
    for (last, most) in [(exact, 16), (exact + 1, 4)] {
        let read = read(&Response { frame_bytes_max: Some(LIMIT), ..answer(last) });
        assert_eq!((read.closer.len(), read.providers.len()), (20, 7));
        assert_eq!(addresses(&read.closer), [most; 20]);
        assert_eq!(read == oracle::Message::decode(whole(last)).unwrap(), last == exact);
    }
}

#[test]
fn v17_addresses_are_trimmed_first_and_everybody_stays() {
    let read = read(&small(peers(20, 16, 12), peers(100, 16, 12)));
    assert_eq!(addresses(&read.closer), [4; 20]);
    assert_eq!(addresses(&read.providers), [4; 100]);
}

#[test]
fn v17_providers_go_next_and_closer_peers_stay() {
    let read = read(&small(peers(20, 16, 40), peers(128, 16, 40)));
    assert_eq!(addresses(&read.closer), [4; 20]);
    let told = read.providers.len();
    assert!((55..128).contains(&told), "{told}: as many as fit");
    assert_eq!(addresses(&read.providers), vec![4; told]);
}

#[test]
fn v17_a_peer_of_long_addresses_pushes_nobody_out() {
    let long = |nth| peer(nth, 4, 2000);
    let closer = [(0..5).map(long).collect(), peers(15, 4, 12)].concat();
    let providers = [(0..12).map(long).collect(), peers(40, 4, 12)].concat();
    let read = read(&small(closer, providers));
    assert_eq!((read.closer.len(), read.providers.len()), (20, 52));
    assert_eq!(addresses(&read.closer[5..]), [4; 15]);
}

#[test]
fn v17_closer_peers_are_cut_down_to_ten_which_then_share_what_there_is() {
    let with_record = |len: usize| {
        let record = Record { value: vec![5; len].into(), ..Record::default() };
        read(&Response { record: Some(record), ..small(peers(20, 8, 60), peers(20, 8, 60)) })
    };
    let (some, ten, scarce) = (with_record(12_000), with_record(13_200), with_record(15_000));
    for read in [&some, &ten, &scarce] {
        assert!(read.providers.is_empty(), "they go before closer peers");
        let ids = read.closer.iter().map(|peer| peer.id[0]);
        assert!(ids.eq(0..read.closer.len() as u8), "the closest stay");
    }
    assert!((11..20).contains(&some.closer.len()), "{} closer peers", some.closer.len());
    assert_eq!(addresses(&some.closer), vec![4; some.closer.len()]);
    assert_eq!(addresses(&ten.closer), [4; 10]);
    assert_eq!(addresses(&scarce.closer)[..10], [1; 10], "fewer addresses, not fewer peers");
    let bare = read(&small(peers(20, 3, 600), vec![]));
    assert_eq!(addresses(&bare.closer), [0; 20], "the ids at least");
}

#[test]
fn v17_the_limit_of_all_frames_holds_too() {
    let frame = small(peers(20, 8, 12), peers(128, 8, 12)).encode(&request(), 4096).unwrap();
    assert!(frame.len() <= 4096);
    assert_eq!(addresses(&oracle::Message::decode(frame).unwrap().closer), [4; 20]);
}

prop_compose! {
    fn any_peer()(
        id in 34..45usize,
        addresses in prop::collection::vec(prop_oneof![9 => 1..150usize, 1 => 1..4000usize], 0..20),
        connection in 0..4i32,
    ) -> ListedPeer {
        let peer = EncodedPeer::new(&vec![7; id], addresses.into_iter().map(|len| vec![1; len]));
        ListedPeer { peer, connection: Connection::from_wire(connection) }
    }
}

proptest! {
    #[test]
    fn v17_every_answer_fits_has_the_ten_closest_and_keeps_its_order(
        closer in prop::collection::vec(any_peer(), 0..22),
        providers in prop::collection::vec(any_peer(), 0..130),
        record in prop::option::of(0..10_240usize),
        limit in prop_oneof![3 => Just(LIMIT), 1 => 11_000..80_000usize],
    ) {
        let record = record.map(|len| Record { value: vec![5; len].into(), ..Record::default() });
        let whole = Response { closer, providers: providers.into(), record, frame_bytes_max: None };
        let all = oracle::Message::decode(whole.encode(&request(), 1 << 22).unwrap()).unwrap();
        let fits = all.encoded_len() <= limit;
        let trimmed = Response { frame_bytes_max: Some(limit), ..whole };
        let frame = trimmed.encode(&request(), 1 << 22).unwrap();
        prop_assert!(frame.len() <= limit);
        let read = oracle::Message::decode(frame).unwrap();
        prop_assert!(!fits || read == all, "what fits is not trimmed");
        prop_assert_eq!(&read.record, &all.record);
        prop_assert!(read.closer.len() >= all.closer.len().min(10));
        prop_assert!(read.providers.is_empty() || read.closer.len() == all.closer.len());
        let peers = read.closer.iter().zip(&all.closer).chain(read.providers.iter().zip(&all.providers));
        for (some, all) in peers {
            prop_assert_eq!((&some.id, some.connection), (&all.id, all.connection));
            prop_assert!(all.addresses.starts_with(&some.addresses), "the first addresses");
            prop_assert!(fits || some.addresses.len() <= 4);
        }
    }
}

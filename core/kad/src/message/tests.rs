use super::*;
use proptest::prelude::*;
use prost::Message as _;

mod small;

/// The same messages as prost derives them, as the oracle. Text that need not be UTF-8 is taken as bytes.
mod oracle {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Message {
        #[prost(int32, tag = "1")]
        pub(super) kind: i32,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) key: Vec<u8>,
        #[prost(message, optional, tag = "3")]
        pub(super) record: Option<Record>,
        #[prost(message, repeated, tag = "8")]
        pub(super) closer: Vec<Peer>,
        #[prost(message, repeated, tag = "9")]
        pub(super) providers: Vec<Peer>,
        #[prost(int32, tag = "10")]
        pub(super) cluster_level: i32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Record {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) key: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) value: Vec<u8>,
        #[prost(bytes = "vec", tag = "5")]
        pub(super) time_received: Vec<u8>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Peer {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) id: Vec<u8>,
        #[prost(bytes = "vec", repeated, tag = "2")]
        pub(super) addresses: Vec<Vec<u8>>,
        #[prost(int32, tag = "3")]
        pub(super) connection: i32,
    }
}

fn ours_of_peer(peer: &oracle::Peer, addresses_max: usize) -> Peer {
    Peer {
        id: peer.id.clone().into(),
        addresses: peer.addresses.iter().take(addresses_max).map(|address| address.clone().into()).collect(),
        connection: Connection::from_wire(peer.connection),
    }
}

fn ours(message: &oracle::Message, closer: usize, providers: usize, addresses: usize) -> Option<Message> {
    Some(Message {
        kind: Kind::from_wire(message.kind)?,
        key: message.key.clone().into(),
        record: message.record.as_ref().map(|record| Record {
            key: record.key.clone().into(),
            value: record.value.clone().into(),
            time_received: record.time_received.clone().into(),
        }),
        closer: message.closer.iter().take(closer).map(|peer| ours_of_peer(peer, addresses)).collect(),
        providers: message
            .providers
            .iter()
            .take(providers)
            .map(|peer| ours_of_peer(peer, addresses))
            .collect(),
        cluster_level: message.cluster_level,
    })
}

fn some_bytes(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..len_max)
}

prop_compose! {
    fn some_peer()(
        id in some_bytes(50),
        addresses in prop::collection::vec(some_bytes(40), 0..6),
        connection in prop_oneof![0..5i32, any::<i32>()],
    ) -> oracle::Peer {
        oracle::Peer { id, addresses, connection }
    }
}

prop_compose! {
    fn some_message()(
        kind in prop_oneof![9 => 0..6i32, 1 => any::<i32>()],
        key in some_bytes(100),
        record in prop::option::of((some_bytes(50), some_bytes(200), some_bytes(30))),
        closer in prop::collection::vec(some_peer(), 0..6),
        providers in prop::collection::vec(some_peer(), 0..6),
        cluster_level in any::<i32>(),
    ) -> oracle::Message {
        let record =
            record.map(|(key, value, time_received)| oracle::Record { key, value, time_received });
        oracle::Message { kind, key, record, closer, providers, cluster_level }
    }
}

prop_compose! {
    fn some_request()(message in some_message(), kind in 0..6i32) -> Request {
        let message = oracle::Message { kind, ..message };
        ours(&message, 0, 64, 64).unwrap().into()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn f5_arbitrary_bytes_never_panic_and_what_the_oracle_reads_is_read_alike(bytes in some_bytes(400)) {
        let decoded = Message::decode(bytes.clone().into(), 2, 2, 2);
        if let Ok(message) = oracle::Message::decode(&bytes[..]) {
            prop_assert_eq!(decoded.ok(), ours(&message, 2, 2, 2));
        }
    }

    #[test]
    fn f5_damaged_messages_never_panic_and_what_the_oracle_reads_is_read_alike(
        message in some_message(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = message.encode_to_vec();
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes.truncate(cut.index(bytes.len() + 1).max(bytes.len().saturating_sub(3)));
        let decoded = Message::decode(bytes.clone().into(), 64, 64, 64);
        match oracle::Message::decode(&bytes[..]) {
            Ok(message) => prop_assert_eq!(decoded.ok(), ours(&message, 64, 64, 64)),
            Err(_) => prop_assert!(decoded.is_err(), "{decoded:?}"),
        }
    }

    #[test]
    fn f6_lists_are_cut_and_the_rest_is_kept(message in some_message(), max in 0usize..4) {
        let decoded = Message::decode(message.encode_to_vec().into(), max, max, max);
        prop_assert_eq!(decoded.ok(), ours(&message, max, max, max));
    }

    #[test]
    fn f1_a_request_is_read_as_it_was_written(request in some_request()) {
        let frame = request.encode();
        prop_assert!(oracle::Message::decode(&frame[..]).is_ok());
        prop_assert_eq!(Request::decode(frame, &Limits::default()), Ok(request));
    }

    #[test]
    fn f1_an_answer_is_what_the_oracle_reads(message in some_message(), request in some_request()) {
        let listed = |peer: &oracle::Peer| ListedPeer {
            peer: EncodedPeer::new(&peer.id, &peer.addresses),
            connection: Connection::from_wire(peer.connection),
        };
        let expected = ours(&message, 64, 64, 64).map(|ours| ours.record);
        let response = Response {
            closer: message.closer.iter().map(listed).collect(),
            providers: message.providers.iter().map(listed).collect::<Vec<_>>().into(),
            record: expected.flatten(),
            frame_bytes_max: None,
        };
        let read = oracle::Message::decode(response.encode(&request, 1 << 22).unwrap()).unwrap();
        let read = ours(&read, 64, 64, 64).unwrap();
        prop_assert_eq!((read.kind, &read.key), (request.kind(), request.key()));
        prop_assert_eq!(read.cluster_level, 1);
        prop_assert_eq!(read.record, response.record);
        let peers = |list: &[oracle::Peer]| list.iter().map(|peer| ours_of_peer(peer, 64)).collect::<Vec<_>>();
        prop_assert_eq!(read.closer, peers(&message.closer));
        prop_assert_eq!(read.providers, peers(&message.providers));
    }
}

/// A field of this number, whose number takes two bytes when it must.
fn field(tag: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_key(tag, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

fn varint(tag: u32, number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_key(tag, prost::encoding::WireType::Varint, &mut out);
    prost::encoding::encode_varint(number, &mut out);
    out
}

fn decode(parts: &[Vec<u8>]) -> Result<Request, DecodeError> {
    Request::decode(parts.concat().into(), &Limits::default())
}

#[test]
fn f6_unknown_fields_are_ignored() {
    let peer = [field(1, b"peer"), field(2, b"address"), field(4, b"signed record"), varint(99, 7)].concat();
    let record = [field(1, b"key"), field(2, b"value"), field(666, b"publisher"), varint(777, 60)].concat();
    let group = vec![0xa3, 0x01, 0x08, 0x01, 0xa4, 0x01];
    for unknown in [varint(11, 1), field(11, b"sender record"), field(16, b"x"), varint(1000, 3), group] {
        let request = decode(&[varint(1, 2), unknown.clone(), field(2, b"key"), field(9, &peer)]).unwrap();
        let provider =
            Peer { id: (&b"peer"[..]).into(), addresses: vec![(&b"address"[..]).into()], ..Peer::default() };
        assert_eq!(request, Request::AddProvider { key: (&b"key"[..]).into(), providers: vec![provider] });
        let request = decode(&[unknown, field(2, b"key"), field(3, &record)]).unwrap();
        let Request::PutValue { record: Some(record), .. } = request else { panic!("{request:?}") };
        assert_eq!((&record.key[..], &record.value[..]), (&b"key"[..], &b"value"[..]));
    }
}

#[test]
fn f8_unknown_connections_do_not_fail() {
    for (number, connection) in [(0, 0), (1, 1), (3, 3), (4, 0), (77, 0), (u64::MAX, 0)] {
        let peer = [field(1, b"peer"), varint(3, number)].concat();
        let request = decode(&[varint(1, 2), field(9, &peer)]).unwrap();
        let Request::AddProvider { providers, .. } = request else { panic!("{request:?}") };
        assert_eq!(providers[0].connection as u8, connection);
    }
}

#[test]
fn f5_an_unknown_type_is_an_error() {
    for number in [6, 100, u64::MAX] {
        assert_eq!(decode(&[varint(1, number)]), Err(DecodeError::UnknownKind(number as i32)));
    }
    assert!(matches!(decode(&[field(1, b"")]), Err(DecodeError::Protobuf(_))), "a type that is no number");
}

#[test]
fn f7_the_answer_repeats_type_key_and_level() {
    for (raw, answered) in [(0, 1), (1, 1), (2, 2), (9, 9), (-5, 1), (i32::MIN, 1), (i32::MAX, i32::MAX)] {
        let message =
            oracle::Message { kind: 4, key: b"key".to_vec(), cluster_level: raw, ..Default::default() };
        let echo = Echo::of(&Message::decode(message.encode_to_vec().into(), 0, 0, 0).unwrap());
        let response = Response::default();
        let framed = encode_answer(&echo, &response, fitting(&echo, &response, 1 << 22).unwrap());
        let read = oracle::Message::decode(&framed.bytes[framed.prefix_len..]).unwrap();
        assert_eq!((read.kind, &read.key[..], read.cluster_level), (4, &b"key"[..], answered));
    }
}

#[test]
fn v13_closer_peers_come_first_and_then_whole_providers_while_they_fit() {
    let peer = |len: usize| ListedPeer::from(EncodedPeer::new(&[7; 38], [vec![1; len]]));
    let request = Request::GetProviders { key: vec![9; 34].into() };
    let response = Response {
        closer: vec![peer(200); 20],
        providers: vec![peer(8000); 1000].into(),
        ..Response::default()
    };
    for limit in [1 << 22, 16 << 10] {
        let frame = response.encode(&request, limit).unwrap();
        let read = oracle::Message::decode(&frame[..]).unwrap();
        assert_eq!(read.closer.len(), 20);
        assert!(
            read.providers.iter().all(|peer| peer.addresses[0].len() == 8000),
            "none is cut in the middle"
        );
        assert!(frame.len() <= limit && frame.len() + 8100 > limit, "{} of {limit}", frame.len());
    }
    let few = response.encode(&request, 1000).unwrap();
    let read = oracle::Message::decode(&few[..]).unwrap();
    assert_eq!((read.closer.len(), read.providers.len()), (3, 0), "closer peers are cut last");
}

#[test]
fn u13_a_ping_is_echoed_without_peers() {
    let ping = decode(&[varint(1, 5), field(2, b"key"), field(8, b""), field(9, b"")]).unwrap();
    let read = oracle::Message::decode(Response::default().encode(&ping, 1 << 22).unwrap()).unwrap();
    let expected = oracle::Message { kind: 5, key: b"key".to_vec(), cluster_level: 1, ..Default::default() };
    assert_eq!(read, expected);
}

#[test]
fn f10_a_frame_full_of_tiny_peers_stays_small() {
    let frame: Bytes = [varint(1, 2), field(9, b"").repeat(2 << 20)].concat().into();
    let message = Message::decode(frame, 0, 64, 64).unwrap();
    assert!(message.providers.capacity() <= 64);
}

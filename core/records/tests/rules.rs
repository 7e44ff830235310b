//! Each rule by its clause (`u1` to `u13`: the project's table of wire requirements), and boxo's verdicts.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod common;

use common::{Maker, byte_string, check, field, now, number, vectors, vectors_now};
use hydra_records::{Comparison, Entry, Error, KeyError, Namespace, RecordKey, Timestamp, select};
use libp2p_identity::Keypair;

const EOL: &str = "2126-01-01T00:00:00.000000001Z";

fn maker() -> Maker {
    Maker::new(Keypair::generate_ed25519(), 1, EOL)
}

#[test]
fn u5_boxo_and_this_crate_judge_the_same() {
    let vectors = vectors();
    assert!(vectors.iter().any(|vector| vector.valid) && vectors.iter().any(|vector| !vector.valid));
    for vector in &vectors {
        let verdict =
            Entry::parse(&vector.key(), vector.value()).and_then(|entry| entry.verify(vectors_now()));
        assert_eq!(verdict.is_ok(), vector.valid, "{}: {verdict:?}", vector.name);
        if let Ok(record) = verdict {
            assert_eq!(record.bytes(), &vector.value());
        }
    }
}

#[test]
fn u6_boxo_and_this_crate_select_the_same() {
    let vectors = vectors();
    let parse = |vector: &common::Vector| Entry::parse(&vector.key(), vector.value()).ok();
    let mut pairs_len = 0;
    for one in &vectors {
        let Some(first) = parse(one) else { continue };
        for other in vectors.iter().filter(|other| other.key() == one.key() && other.value() != one.value()) {
            let Some(second) = parse(other) else { continue };
            if first.key().namespace() == Namespace::PublicKey {
                continue;
            }
            pairs_len += 1;
            let wins = select([&first, &second]) == Some(&first);
            assert_eq!(wins, one.worse.contains(&other.name), "{} and {}", one.name, other.name);
            assert_eq!(wins, select([&second, &first]) == Some(&first));
        }
    }
    assert!(pairs_len > 100, "{pairs_len} pairs");
}

#[test]
fn u2_a_key_has_one_of_two_namespaces_and_a_peer_id() {
    let peer = Keypair::generate_ed25519().public().to_peer_id();
    for namespace in [Namespace::PublicKey, Namespace::Ipns] {
        let key = RecordKey::new(namespace, peer);
        assert_eq!(RecordKey::parse(&key.to_bytes()), Ok(key));
        assert!(key.to_bytes().len() <= RecordKey::LEN_MAX);
        let bytes = key.to_bytes();
        let cut = &bytes[..bytes.len() - 1];
        for wrong in [namespace.prefix(), cut, &[&*bytes, b"x"].concat()] {
            assert_eq!(RecordKey::parse(wrong), Err(KeyError::PeerId), "{wrong:x?}");
        }
        let inlined = |len: usize| [namespace.prefix(), &[0, len as u8], &vec![8; len]].concat();
        assert!(RecordKey::parse(&inlined(42)).is_ok());
        assert_eq!(RecordKey::parse(&inlined(43)), Err(KeyError::PeerId));
        assert_eq!(RecordKey::parse(&inlined(0)), Err(KeyError::PeerId));
        let hashed = |code: u8, len: usize| [namespace.prefix(), &[code, len as u8], &vec![8; len]].concat();
        assert!(RecordKey::parse(&hashed(0x12, 32)).is_ok());
        for wrong in [hashed(0x12, 31), hashed(0x12, 33), hashed(0x13, 64), hashed(0x11, 20)] {
            assert_eq!(RecordKey::parse(&wrong), Err(KeyError::PeerId));
        }
    }
    for wrong in [&b""[..], b"/", b"/pk", b"pk/", b"/providers/x", b"/IPNS/x", b"ipns"] {
        assert_eq!(RecordKey::parse(wrong), Err(KeyError::Namespace));
    }
}

#[test]
fn u3_a_public_key_is_the_one_of_its_peer_in_its_one_form() {
    for keys in [Keypair::generate_ed25519(), Keypair::generate_secp256k1(), Keypair::generate_ecdsa()] {
        let public = keys.public();
        let key = RecordKey::new(Namespace::PublicKey, public.to_peer_id());
        let bytes = public.encode_protobuf();
        let record = check(&key, bytes.clone()).unwrap();
        assert!(record.ipns().is_none() && !record.entry().is_expired(now()));
        let other = RecordKey::new(Namespace::PublicKey, Keypair::generate_ed25519().public().to_peer_id());
        assert_eq!(check(&other, bytes.clone()), Err(Error::WrongKey));
        let longer = [&*bytes, &[0x18, 1]].concat();
        assert_eq!(check(&key, longer.clone()), Err(Error::PublicKey), "an unknown field");
        let longer = Entry::parse(&key, longer).unwrap();
        assert_eq!(longer.compared_with(record.entry(), now()), Comparison::Worse);
        assert_eq!(check(&key, vec![]), Err(Error::PublicKey));
        assert_eq!(check(&key, vec![0; 1200]), Err(Error::PublicKey));
        assert_eq!(check(&key, vec![0; 1201]), Err(Error::Size { len: 1201 }));
    }
}

#[test]
fn u4_ten_kib_are_accepted_and_one_byte_more_is_refused_unparsed() {
    let maker = maker();
    let plain = maker.make();
    // An unknown field of two bytes of length fills it up.
    let filled = |len: usize| [plain.clone(), field(15, &vec![0; len - plain.len() - 3])].concat();
    assert_eq!(filled(10240).len(), 10240);
    assert!(check(&maker.key(), filled(10240)).is_ok());
    assert_eq!(check(&maker.key(), filled(10241)), Err(Error::Size { len: 10241 }));
    assert_eq!(check(&maker.key(), vec![0xff; 1 << 20]), Err(Error::Size { len: 1 << 20 }));
}

#[test]
fn u5_signature_and_data_are_mandatory() {
    let maker = maker();
    let (data, signature) = (field(9, &maker.data()), field(8, &[1; 64]));
    assert_eq!(check(&maker.key(), data.clone()), Err(Error::NoSignature));
    assert_eq!(check(&maker.key(), signature.clone()), Err(Error::NoData));
    assert_eq!(check(&maker.key(), [signature, data].concat()), Err(Error::Signature));
    assert_eq!(check(&maker.key(), vec![0xff]), Err(Error::Protobuf));
    assert_eq!(check(&maker.key(), vec![8 << 3, 1]), Err(Error::NoSignature), "another wire type");
}

/// Whatever is in a record, it is parsed in a bounded number of steps before anything is known of its signature.
#[test]
fn u4_a_record_has_a_bounded_number_of_items_and_fields() {
    let maker = maker();
    let nulls = |len: usize| [vec![0x99, (len >> 8) as u8, len as u8], vec![0xf6; len]].concat();
    let stuffed = maker.clone().set("_extra", Some(nulls(9_000)));
    assert_eq!(check(&stuffed.key(), stuffed.make()), Err(Error::Cbor("more than 64 items")));
    let with = |fields: &[u8]| check(&maker.key(), [fields, &maker.make()].concat()).map(|_| ());
    assert_eq!(with(&[15 << 3, 1].repeat(62)), Ok(()));
    assert_eq!(with(&[15 << 3, 1].repeat(63)), Err(Error::Protobuf));
    let group = |fields: usize| [&[15 << 3 | 3][..], &[15 << 3, 1].repeat(fields), &[15 << 3 | 4]].concat();
    assert_eq!(with(&group(60)), Ok(()), "its start and its end count too");
    assert_eq!(with(&group(61)), Err(Error::Protobuf));
    let nested = |depth: usize| [[15 << 3 | 3].repeat(depth), [15 << 3 | 4].repeat(depth)].concat();
    assert_eq!(with(&nested(31)), Ok(()));
    assert_eq!(with(&nested(5_000)), Err(Error::Protobuf));
}

/// As in Go, where `proto.Unmarshal` keeps them as unknown fields.
#[test]
fn u5_a_field_of_another_wire_type_is_skipped() {
    let maker = maker();
    let with = |fields: &[u8]| check(&maker.key(), [fields, &maker.make()].concat()).map(|_| ());
    for tag in 1..=9_u8 {
        let wire = |wire: u8| tag << 3 | wire;
        let other = if matches!(tag, 3 | 5 | 6) { field(tag, b"xy") } else { vec![wire(0), 2] };
        assert_eq!(with(&other), Ok(()), "{tag}");
        assert_eq!(with(&[&[wire(1)][..], &[7; 8]].concat()), Ok(()), "{tag}");
        assert_eq!(with(&[&[wire(5)][..], &[7; 4]].concat()), Ok(()), "{tag}");
        assert_eq!(with(&[wire(3), 15 << 3, 1, wire(4)]), Ok(()), "{tag}");
        assert_eq!(
            with(&[wire(3), 15 << 3, 1, 15 << 3 | 4]),
            Err(Error::Protobuf),
            "the end of another group"
        );
        assert_eq!(with(&[wire(4)]), Err(Error::Protobuf), "{tag}");
        assert_eq!(with(&[wire(6)]), Err(Error::Protobuf), "{tag}");
    }
    // What is skipped takes nothing from what was there before.
    let after = [maker.make(), vec![8 << 3, 1, 9 << 3, 1]].concat();
    assert!(check(&maker.key(), after).is_ok());
}

#[test]
fn u5_the_fields_of_the_data_are_required_and_of_their_type() {
    for name in ["Value", "Validity", "ValidityType", "Sequence"] {
        let made = maker().set(name, None);
        assert_eq!(check(&made.key(), made.make()), Err(Error::Field(name)));
        let made = maker().set(name, Some(vec![0xf6]));
        assert_eq!(check(&made.key(), made.make()), Err(Error::Field(name)));
    }
    let negative = maker().set("Sequence", Some(vec![0x20]));
    assert_eq!(check(&negative.key(), negative.make()), Err(Error::Field("Sequence")));
    let negative = maker().set("TTL", Some(vec![0x20]));
    assert_eq!(check(&negative.key(), negative.make()), Err(Error::Field("TTL")));
    let without = maker().set("TTL", None);
    assert_eq!(check(&without.key(), without.make()).unwrap().ipns().unwrap().ttl, None);
    let kind = maker().set("ValidityType", Some(number(1)));
    assert_eq!(check(&kind.key(), kind.make()), Err(Error::ValidityType));
    let garbage = maker().set("Validity", Some(byte_string(b"tomorrow")));
    assert_eq!(check(&garbage.key(), garbage.make()), Err(Error::Validity));
    let extra = maker().set("_extra", Some(vec![0xa1, 0x61, b'a', 0xf5]));
    assert!(check(&extra.key(), extra.make()).is_ok());
    let largest = maker().set("Sequence", Some(number(u64::MAX)));
    assert_eq!(check(&largest.key(), largest.make()).unwrap().ipns().unwrap().sequence, u64::MAX);
}

#[test]
fn u5_legacy_fields_agree_with_the_data() {
    let value = field(1, b"/ipfs/bafkqaddwgevxmmraojswg33smq");
    let all = [value.clone(), field(2, b"never used"), field(4, EOL.as_bytes()), vec![5 << 3, 1, 6 << 3, 60]];
    let with = |fields: &[u8]| {
        let maker = Maker { fields: fields.to_vec(), ..maker() };
        check(&maker.key(), maker.make()).map(|_| ())
    };
    assert_eq!(with(&all.concat()), Ok(()));
    assert_eq!(with(&[all.concat(), vec![3 << 3, 1]].concat()), Err(Error::Mismatch("validityType")));
    assert_eq!(with(&all[..2].concat()), Err(Error::Mismatch("validity")));
    assert_eq!(with(&all[..3].concat()), Err(Error::Mismatch("sequence")));
    assert_eq!(with(&all[1..].concat()), Err(Error::Mismatch("value")));
    assert_eq!(with(&field(1, b"/ipfs/other")), Err(Error::Mismatch("value")));
    // Without V1 value and signature, what is there still must agree.
    assert_eq!(with(&[5 << 3, 1]), Ok(()));
    assert_eq!(with(&[5 << 3, 2]), Err(Error::Mismatch("sequence")));
    assert_eq!(with(&[6 << 3, 61]), Err(Error::Mismatch("ttl")));
    assert_eq!(with(&field(4, b"x")), Err(Error::Mismatch("validity")));
}

/// boxo reads both as an int64, and only when there are V1 fields.
#[test]
fn u5_numbers_beyond_an_int64_are_refused_in_a_record_with_v1_fields() {
    let large = u64::MAX / 2 + 1;
    let varint = [&[0x80; 9][..], &[1]].concat();
    for (name, tag) in [("Sequence", 5), ("TTL", 6)] {
        let with = |found: u64, varint: &[u8]| {
            let legacy = |number: u8| {
                if number == tag { varint.to_vec() } else { vec![[1, 60][usize::from(number - 5)]] }
            };
            let numbers = [vec![5 << 3], legacy(5), vec![6 << 3], legacy(6)].concat();
            let value = field(1, b"/ipfs/bafkqaddwgevxmmraojswg33smq");
            let fields = [value, field(4, EOL.as_bytes()), numbers].concat();
            let made = Maker { fields, ..maker().set(name, Some(number(found))) };
            check(&made.key(), made.make()).map(|_| ())
        };
        assert_eq!(with(large, &varint), Err(Error::Field(name)));
        assert_eq!(with(large - 1, &[&[0xff; 8][..], &[0x7f]].concat()), Ok(()));
        let alone = maker().set(name, Some(number(large)));
        assert!(check(&alone.key(), alone.make()).is_ok(), "{name} without V1 fields");
    }
}

#[test]
fn u5_end_of_life_is_compared_to_the_nanosecond() {
    let at = |eol: &str| {
        let maker = Maker::new(Keypair::generate_ed25519(), 1, eol);
        check(&maker.key(), maker.make()).map(|_| ())
    };
    assert_eq!(at("2026-11-28T06:16:00Z"), Ok(()));
    assert_eq!(at("2026-11-28T06:15:59.999999999Z"), Err(Error::Expired));
    assert_eq!(at("2026-11-28T07:16:00+01:00"), Ok(()));
    assert_eq!(at("9999-12-31T23:59:59Z"), Ok(()));
}

#[test]
fn u5_the_key_is_in_the_record_or_in_the_name_and_matches_it() {
    let maker = Maker::new(Keypair::generate_ecdsa(), 1, EOL);
    assert_eq!(check(&maker.key(), maker.make()), Err(Error::NoPublicKey));
    let public = maker.keys.public().encode_protobuf();
    let whole = Maker { fields: field(7, &public), ..maker.clone() };
    assert!(check(&maker.key(), whole.make()).is_ok());
    let other = Keypair::generate_ed25519().public().encode_protobuf();
    let other = Maker { fields: field(7, &other), ..maker.clone() };
    assert_eq!(check(&maker.key(), other.make()), Err(Error::WrongKey));
    let garbage = Maker { fields: field(7, b"garbage"), ..maker.clone() };
    assert_eq!(check(&maker.key(), garbage.make()), Err(Error::PublicKey));
    let inlined = self::maker();
    let stranger = RecordKey::new(Namespace::Ipns, Keypair::generate_ed25519().public().to_peer_id());
    assert_eq!(check(&stranger, inlined.make()), Err(Error::Signature));
}

#[test]
fn u6_a_new_record_is_compared_with_the_one_held() {
    let keys = Keypair::generate_ed25519();
    let entry = |sequence, eol: &str| {
        let maker = Maker::new(keys.clone(), sequence, eol);
        Entry::parse(&maker.key(), maker.make()).unwrap()
    };
    let held = entry(5, EOL);
    assert_eq!(entry(5, EOL).compared_with(&held, now()), Comparison::Same);
    assert_eq!(entry(6, "2027-01-01T00:00:00Z").compared_with(&held, now()), Comparison::Better);
    assert_eq!(entry(4, "9999-01-01T00:00:00Z").compared_with(&held, now()), Comparison::Worse);
    assert_eq!(entry(5, "2126-01-01T00:00:00.000000002Z").compared_with(&held, now()), Comparison::Better);
    let later = Timestamp::parse_rfc3339(b"2130-01-01T00:00:00Z").unwrap();
    assert_eq!(
        entry(4, "9999-01-01T00:00:00Z").compared_with(&held, later),
        Comparison::Better,
        "the held one expired"
    );
}

/// An RSA key whose modulus has this many bits, all of them set.
fn rsa(bits: usize) -> Vec<u8> {
    let der = |tag: u8, content: &[u8]| {
        let head = match content.len() {
            len @ 0..0x80 => vec![tag, len as u8],
            len @ 0x80..0x100 => vec![tag, 0x81, len as u8],
            len => [&[tag, 0x82][..], &(len as u16).to_be_bytes()].concat(),
        };
        [head, content.to_vec()].concat()
    };
    let first = if bits.is_multiple_of(8) { vec![0, 0xff] } else { vec![(1 << (bits % 8)) - 1] };
    let rest = vec![0xff; (bits - 1) / 8];
    let key = der(0x30, &[der(2, &[first, rest].concat()), der(2, &[1, 0, 1])].concat());
    let algorithm = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    let spki = der(0x30, &[&algorithm[..], &der(3, &[&[0], &*key].concat())].concat());
    [vec![8, 0], field(2, &spki)].concat()
}

#[test]
fn u3_an_rsa_key_has_2048_to_8192_bits() {
    for (bits, accepted) in [(1024, false), (2047, false), (2048, true), (8192, true), (8193, false)] {
        let bytes = rsa(bits);
        let key = libp2p_identity::PublicKey::try_decode_protobuf(&bytes).unwrap();
        let key = RecordKey::new(Namespace::PublicKey, key.to_peer_id());
        let expected = if accepted { Ok(()) } else { Err(Error::RsaBits { bits }) };
        assert_eq!(check(&key, bytes).map(|_| ()), expected);
    }
}

use super::*;

fn keys(bytes: &[u8]) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    map(bytes, |key, _| keys.push(key.to_owned()))?;
    Ok(keys)
}

/// A map of as many keys, each of one letter more than the one before, of which the first `swapped` come last.
fn lengths(keys_len: usize, swapped: usize) -> Vec<u8> {
    let mut lens: Vec<usize> = (1..=keys_len).collect();
    lens.rotate_left(swapped);
    let mut bytes = vec![0xb8, keys_len as u8];
    for len in lens {
        bytes.extend([0x78, len as u8].into_iter().skip(usize::from(len < 24)));
        if len < 24 {
            *bytes.last_mut().unwrap() = 0x60 + len as u8;
        }
        bytes.extend(vec![b'a'; len]);
        bytes.push(0xf6);
    }
    bytes
}

#[test]
fn a_map_is_read_in_its_order() {
    assert_eq!(keys(b"\xa2\x61b\x01\x61a\x41x"), Ok(vec!["b".to_owned(), "a".to_owned()]));
    assert_eq!(keys(b"\xa0"), Ok(vec![]));
    let mut values = Vec::new();
    map(b"\xa4\x61a\x18\x18\x61b\x42xy\x61c\x20\x61d\x61z", |_, value| values.push(value)).unwrap();
    assert_eq!(values, [Value::Unsigned(24), Value::Bytes(b"xy"), Value::Other, Value::Other]);
}

#[test]
fn every_other_type_of_dag_cbor_may_stand_under_an_unknown_key() {
    let values: [&[u8]; 9] = [
        b"\xf4",
        b"\xf5",
        b"\xf6",
        b"\xfb\x3f\xf0\0\0\0\0\0\0",
        b"\x82\x01\x81\x20",
        b"\xa1\x61a\xa1\x61b\xf6",
        b"\xd8\x2a\x43\x00\x01\x02",
        b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff",
    ];
    for value in values {
        assert!(keys(&[b"\xa1\x61_", value].concat()).is_ok(), "{value:x?}");
    }
}

#[test]
fn what_is_not_strict_is_refused() {
    let cases: [(&[u8], &str); 24] = [
        (b"", "cut short"),
        (b"\x80", "not a map"),
        (b"\xa1\x61a\x01\x00", "bytes after the end"),
        (b"\xbf\x61a\x01\xff", "an indefinite length"),
        (b"\xa1\x61a\x5f\x41x\xff", "an indefinite length"),
        (b"\xa1\x61a\x9f\xff", "an indefinite length"),
        (b"\xa1\x61a\x18\x17", "a number longer than need be"),
        (b"\xa1\x61a\x19\x00\xff", "a number longer than need be"),
        (b"\xa1\x61a\x1a\x00\x00\xff\xff", "a number longer than need be"),
        (b"\xa1\x61a\x1b\x00\x00\x00\x00\xff\xff\xff\xff", "a number longer than need be"),
        (b"\xb8\x01\x61a\x01", "a number longer than need be"),
        (b"\xa1\x78\x01a\x01", "a number longer than need be"),
        (b"\xa1\x61a\x1c", "a reserved type"),
        (b"\xa1\x41a\x01", "a key that is not text"),
        (b"\xa1\x61\xff\x01", "text that is not UTF-8"),
        (b"\xa1\x61a\x61\xff", "text that is not UTF-8"),
        (b"\xa2\x61a\x01\x61a\x02", "a repeated key"),
        (b"\xa1\x61a\xa2\x61a\x01\x61a\x02", "a repeated key"),
        (b"\xa3\x61b\x01\x61a\x02\x61b\x03", "a repeated key"),
        (b"\xa1\x61a\xf7", "a simple value or float that DAG-CBOR does not have"),
        (b"\xa1\x61a\xf9\x00\x00", "a simple value or float that DAG-CBOR does not have"),
        (b"\xa1\x61a\xfb\x7f\xf0\0\0\0\0\0\0", "a simple value or float that DAG-CBOR does not have"),
        (b"\xa1\x61a\xc1\x01", "a tag other than that of a CID"),
        (b"\xa1\x61a\xd8\x2a\x41\x01", "a link that is not a CID"),
    ];
    for (bytes, error) in cases {
        assert_eq!(keys(bytes), Err(error), "{bytes:x?}");
    }
}

#[test]
fn a_declared_length_costs_nothing_when_it_is_not_there() {
    for head in [0x5b, 0x7b, 0x9b, 0xbb] {
        let mut bytes = b"\xa1\x61a".to_vec();
        bytes.push(head);
        bytes.extend([0xff; 8]);
        assert_eq!(keys(&bytes), Err("cut short"));
    }
    assert_eq!(keys(&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Err("cut short"));
}

#[test]
fn nesting_ends_at_its_bound() {
    let nested = |open: &[u8], close: &[u8], depth| [b"\xa1\x61a", &*open.repeat(depth), close].concat();
    for open in [&b"\x81"[..], b"\xa1\x61a"] {
        assert!(keys(&nested(open, b"\x01", DEPTH_MAX)).is_ok());
        assert_eq!(keys(&nested(open, b"\x01", DEPTH_MAX + 1)), Err("nested too deep"));
        assert_eq!(keys(&nested(open, b"\x01", 3000)), Err("nested too deep"));
    }
}

#[test]
fn many_keys_are_allowed_in_order_and_few_out_of_order() {
    assert_eq!(keys(&lengths(100, 0)).map(|keys| keys.len()), Ok(100));
    assert_eq!(keys(&lengths(UNORDERED_MAX, 1)).map(|keys| keys.len()), Ok(UNORDERED_MAX));
    assert_eq!(keys(&lengths(UNORDERED_MAX + 1, 1)), Err("many keys out of order"));
}

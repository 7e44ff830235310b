use super::*;

fn keys(bytes: &[u8]) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    map(bytes, |key, _| keys.push(key.to_owned()))?;
    Ok(keys)
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

/// A map with one key, whose value is this one.
fn under_a_key(value: &[u8]) -> Vec<u8> {
    [b"\xa1\x61_", value].concat()
}

/// The head of a list or a map with so many entries, 24 to 65,535.
fn head(major: u8, len: usize) -> Vec<u8> {
    match u8::try_from(len) {
        Ok(len) => vec![major | 24, len],
        Err(_) => vec![major | 25, (len >> 8) as u8, len as u8],
    }
}

fn list(len: usize, element: &[u8]) -> Vec<u8> {
    [head(0x80, len), element.repeat(len)].concat()
}

/// A map with so many keys of two letters, in order or not.
fn map_of(len: usize, is_ordered: bool) -> Vec<u8> {
    let mut keys: Vec<_> =
        (0..len as u8).map(|number| [0x62, b'a' + number / 16, b'a' + number % 16]).collect();
    if !is_ordered {
        keys.reverse();
    }
    let entries = keys.into_iter().flat_map(|key| [&key[..], b"\xf6"].concat());
    head(0xa0, len).into_iter().chain(entries).collect()
}

/// The bytes of a document that are read until it is accepted or refused.
fn read(bytes: &[u8]) -> (Result<()>, usize) {
    let mut reader = Reader::new(bytes);
    (reader.document(&mut |_, _| {}), bytes.len() - reader.rest.len())
}

#[test]
fn a_document_has_64_items_at_most_nested_ones_included() {
    // The map, its key, and the list or the inner map are three.
    let rest = ITEMS_MAX - 3;
    let cases: [(Vec<u8>, Vec<u8>); 4] = [
        (list(rest, b"\xf6"), list(rest + 1, b"\xf6")),
        (list(rest, b"\xa0"), list(rest + 1, b"\xa0")),
        (map_of(rest / 2, true), map_of(rest / 2 + 1, true)),
        (map_of(rest / 2, false), map_of(rest / 2 + 1, false)),
    ];
    for (most, more) in cases {
        assert_eq!(keys(&under_a_key(&most)), Ok(vec!["_".to_owned()]), "{most:x?}");
        assert_eq!(keys(&under_a_key(&more)), Err(MANY_ITEMS), "{more:x?}");
    }
}

#[test]
fn what_fills_a_record_with_items_is_given_up_after_the_first_64() {
    let shapes: [Vec<u8>; 4] = [
        list(10_000, b"\xf6"),
        list(2_500, b"\xa1\x61a\xf6"),
        list(10_000, b"\xa0"),
        list(70, &map_of(32, false)),
    ];
    for shape in shapes {
        let (result, read_len) = read(&under_a_key(&shape));
        assert_eq!(result, Err(MANY_ITEMS));
        assert!(read_len < 64 * 4, "{read_len} bytes of {}", shape.len());
    }
    let long = [&b"\x59\x27\x10"[..], &[0; 10_000]].concat();
    assert_eq!(read(&under_a_key(&long)), (Ok(()), 10_006), "one item is as long as it may be");
}

#[test]
fn keys_of_an_inner_map_may_be_those_of_the_outer_ones() {
    assert!(keys(b"\xa2\x61b\xa2\x61b\x01\x61a\x02\x61a\xa1\x61b\x03").is_ok());
    assert_eq!(keys(b"\xa2\x61b\xa1\x61a\x02\x61b\x03"), Err("a repeated key"));
    assert_eq!(keys(b"\xa3\x61b\xa1\x61a\x02\x61a\x00\x61b\x03"), Err("a repeated key"));
}

use super::*;
use hydra_conformance::given::{content_key, key, peer};
use std::collections::{BTreeMap, BTreeSet};

fn layout() -> Layout {
    Layout { prefix: "hydra".to_owned(), salt: [7; SALT_LEN], form: Form::Buckets { log2: 12 } }
}

#[test]
fn each_sixteenth_slot_has_a_tag() {
    assert_eq!(TAGS.len(), usize::from(PARTITIONS));
    for (partition, (tag, slot)) in TAGS.iter().enumerate() {
        assert_eq!(usize::from(slot / 16), partition);
        assert!(tag.len() <= 4, "{tag}");
    }
}

#[test]
fn what_is_written_is_read() {
    for form in [Form::Buckets { log2: 18 }, Form::Plain] {
        let layout = Layout::new("hydra", form);
        assert_eq!(Layout::of_text("hydra", &layout.text()), Some(layout));
    }
    for text in ["", "2 buckets 18 00", "1 buckets 9 00", "1 buckets 18 zz", "1 heap 18 00", "1 plain 0 00"] {
        assert_eq!(Layout::of_text("hydra", text), None, "{text}");
    }
}

#[test]
fn no_two_keys_have_one_field() {
    let mut fields = BTreeMap::new();
    for len in 1..=ContentKey::LEN_MAX {
        for bytes in [vec![0; len], vec![0x12; len], [&[0x12, 0x20][..], &vec![0; len]].concat()] {
            if let Ok(key) = ContentKey::new(&bytes) {
                let other = fields.insert(field(&key), key);
                assert!(other.is_none_or(|other| other == key), "{other:?} and {key:?}");
            }
        }
    }
    assert_eq!(field(&key(1)).len(), 32);
}

#[test]
fn bytes_that_look_like_tags_do_not_move_a_key() {
    let layout = layout();
    for bytes in [&b"{a}"[..], b"}{b}", b"{}", b"}", b"{"] {
        let key = content_key(bytes);
        let bucket = layout.bucket(&key);
        for name in [layout.many(&bucket, &key), layout.plain(&key)] {
            assert_eq!((name.slot, name.slot / 16), (bucket.slot, bucket.partition));
            let end = name.bytes.iter().position(|byte| *byte == b'}').unwrap();
            let begin = name.bytes.iter().position(|byte| *byte == b'{').unwrap();
            assert_eq!(slot_of(&name.bytes[begin + 1..end]), bucket.slot);
        }
        assert_eq!(layout.partition_of_plain(&layout.plain(&key).bytes), Some(bucket.partition));
    }
    assert_eq!(layout.partition_of_plain(&layout.count(3).bytes), None);
}

#[test]
fn all_buckets_are_used_and_walked() {
    let layout = layout();
    let used: BTreeSet<_> = (0..100_000).map(|number| layout.bucket(&key(number)).bytes).collect();
    let walked: BTreeSet<_> =
        (0..PARTITIONS).flat_map(|of| layout.buckets(of, 0)).map(|name| name.bytes).collect();
    assert_eq!((used.len(), walked.len()), (4096, 4096 + usize::from(PARTITIONS)));
    assert!(used.is_subset(&walked));
    let long = layout.bucket(&content_key(&[1; 80]));
    assert!(walked.contains(&long.bytes) && !used.contains(&long.bytes));
}

#[test]
fn a_peer_is_where_its_fingerprint_says() {
    let layout = layout();
    let fingerprint = layout.fingerprint(&peer(1));
    let name = layout.peer(&fingerprint);
    assert_eq!(name.partition, partition_of(layout.hash(peer(1).as_bytes())));
    assert_ne!(fingerprint, layout.fingerprint(&peer(2)));
}

#[test]
fn a_field_says_which_key_it_is_of() {
    for len in 1..=ContentKey::LEN_MAX {
        for first in [&[0x12, 0x20][..], &[0x11, 0x14], &[0]] {
            let mut bytes = vec![7; len];
            let shared = first.len().min(len);
            bytes[..shared].copy_from_slice(&first[..shared]);
            for last in [0, 1] {
                bytes[len - 1] = last;
                let key = ContentKey::new(&bytes).unwrap();
                assert_eq!(key_of(&field(&key)), Some(key));
            }
        }
    }
}

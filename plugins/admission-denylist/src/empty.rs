//! The well-known objects that hold nothing: lists that name them by mistake would break whoever uses them.

use crate::encode::{self, KEY_MAX};
use crate::parse::{Form, Target};
use crate::rules::CONTENT_CODECS;
use cid::multihash::Multihash;
use sha2::{Digest, Sha256, Sha512};
use std::collections::HashSet;
use std::sync::LazyLock;

/// What the objects consist of. nopfs leaves them out of its lists too (rule 15 of its test list).
const BLOCKS: [&[u8]; 10] = [
    // The empty block: a raw leaf of an empty file, or a dag-pb node without data and links.
    b"",
    // UnixFS in dag-pb: the empty directory, and the empty file as type file and as type raw, with and without its size.
    b"\x0a\x02\x08\x01",
    b"\x0a\x02\x08\x02",
    b"\x0a\x04\x08\x02\x18\x00",
    b"\x0a\x02\x08\x00",
    b"\x0a\x04\x08\x00\x18\x00",
    // The empty map and the empty list, in dag-cbor and dag-json.
    b"\xa0",
    b"\x80",
    b"{}",
    b"[]",
];

const IDENTITY: u64 = 0x00;
const SHA2_256: u64 = 0x12;
const SHA2_512: u64 = 0x13;

static EMPTY: LazyLock<Empty> = LazyLock::new(Empty::new);

/// The objects as rules name them.
struct Empty {
    keys: HashSet<Vec<u8>>,
    hashed: HashSet<(Form, [u8; 32])>,
}

/// Whether a rule with this target is about an object that holds nothing, whatever the codec and the version of its CID.
pub(crate) fn is_named_by(target: &Target) -> bool {
    match target {
        Target::Content(key) => EMPTY.keys.contains(key),
        Target::Hashed(form, digest) => EMPTY.hashed.contains(&(*form, *digest)),
        Target::Name(_) => false,
    }
}

impl Empty {
    fn new() -> Self {
        let keys: HashSet<Vec<u8>> = BLOCKS.iter().flat_map(|block| multihashes(block)).collect();
        let hashed = keys.iter().flat_map(|key| double_hashes(key)).collect();
        Self { keys, hashed }
    }
}

fn multihashes(block: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let sha256: [u8; 32] = Sha256::digest(block).into();
    let sha512: [u8; 64] = Sha512::digest(block).into();
    [(IDENTITY, block), (SHA2_256, &sha256), (SHA2_512, &sha512)]
        .map(|(code, digest)| Multihash::<64>::wrap(code, digest).map(|hash| hash.to_bytes()))
        .into_iter()
        .flatten()
}

/// All double hashes that a decision looks for when it is asked for the key.
fn double_hashes(key: &[u8]) -> Vec<(Form, [u8; 32])> {
    let mut padded = [0; KEY_MAX];
    padded[..key.len()].copy_from_slice(key);
    let modern = Sha256::digest(encode::base58(&padded, key.len()).as_bytes());
    let legacy = |codec| Sha256::digest(encode::cid_base32(codec, key).as_bytes());
    let legacies = CONTENT_CODECS.map(|codec| (Form::Legacy, legacy(codec).into()));
    [(Form::Modern, modern.into())].into_iter().chain(legacies).collect()
}

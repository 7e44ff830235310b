//! The rules of all lists, as a decision needs them: maps of fixed size that are built when the lists are read.

use crate::encode::{self, KEY_MAX};
use crate::parse::{Effect, Form, Target};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// Codecs of the CIDs that content is usually announced with: dag-pb, raw, dag-cbor. A legacy rule names a CID, a
/// request only its multihash.
pub(crate) const CONTENT_CODECS: [u8; 3] = [0x70, 0x55, 0x71];
/// Codec of an IPNS name: libp2p-key.
const NAME_CODEC: u8 = 0x72;

/// 128 bits of a hash: two keys share them by chance once in 2^128.
type Print = [u64; 2];

/// What kind of key is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Space {
    /// The multihash of content.
    Content,
    /// The multihash of an IPNS name.
    Name,
}

/// All rules, the later ones over the earlier ones.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    seeds: [RandomState; 2],
    /// By print of space and multihash.
    plain: HashMap<Print, Rank, AsIs>,
    /// By the first half of the SHA-256 that the rule tells.
    hashed: HashMap<Print, Rank, AsIs>,
    forms: Forms,
    /// How many rules were put in, those that later ones replace included.
    len: u32,
}

/// Which forms of double-hashed rules there are: the others need not be computed.
#[derive(Debug, Clone, Copy, Default)]
struct Forms {
    modern: bool,
    legacy: bool,
}

/// The place of a rule in the order of the lists; the lowest bit says whether it denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u32);

impl Rules {
    /// Puts a rule in, over all before it.
    pub(crate) fn put(&mut self, effect: Effect, target: &Target) {
        self.len += 1;
        let rank = Rank((self.len << 1) | u32::from(effect == Effect::Deny));
        match target {
            Target::Content(key) => {
                self.plain.insert(self.print(Space::Content, key), rank);
            }
            Target::Name(key) => {
                self.plain.insert(self.print(Space::Name, key), rank);
            }
            Target::Hashed(form, digest) => {
                match form {
                    Form::Modern => self.forms.modern = true,
                    Form::Legacy => self.forms.legacy = true,
                }
                self.hashed.insert(first_half(digest), rank);
            }
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Whether the last rule that matches a multihash denies it.
    pub(crate) fn deny(&self, space: Space, key: &[u8]) -> bool {
        if key.len() > KEY_MAX {
            // No rule is about such a key, and the node refuses it.
            return false;
        }
        let mut last = self.plain.get(&self.print(space, key)).copied();
        if self.forms.modern {
            let mut padded = [0; KEY_MAX];
            padded[..key.len()].copy_from_slice(key);
            last = last.max(self.hashed(encode::base58(&padded, key.len()).as_bytes()));
        }
        if self.forms.legacy {
            let codecs = match space {
                Space::Content => &CONTENT_CODECS[..],
                Space::Name => &[NAME_CODEC],
            };
            for codec in codecs {
                last = last.max(self.hashed(encode::cid_base32(*codec, key).as_bytes()));
            }
        }
        last.is_some_and(|rank| rank.0 & 1 == 1)
    }

    fn hashed(&self, text: &[u8]) -> Option<Rank> {
        self.hashed.get(&first_half(&Sha256::digest(text).into())).copied()
    }

    /// The seeds are random, so that nobody can choose a key that shares the print of another.
    fn print(&self, space: Space, key: &[u8]) -> Print {
        self.seeds.each_ref().map(|seed| seed.hash_one((space, key)))
    }
}

fn first_half(digest: &[u8; 32]) -> Print {
    let half = |from: usize| u64::from_le_bytes(std::array::from_fn(|place| digest[from + place]));
    [half(0), half(8)]
}

/// Prints are hashes already.
#[derive(Debug, Clone, Copy, Default)]
struct AsIs;

/// The last number written.
#[derive(Debug, Clone, Copy, Default)]
struct LastNumber(u64);

impl BuildHasher for AsIs {
    type Hasher = LastNumber;
    fn build_hasher(&self) -> LastNumber {
        LastNumber::default()
    }
}

impl Hasher for LastNumber {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
    fn write_usize(&mut self, _: usize) {}
    fn finish(&self) -> u64 {
        self.0
    }
}

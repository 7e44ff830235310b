//! The names of the keys in Redis.
//!
//! | name | what |
//! |---|---|
//! | `hydra:{meta}` | the version and the form of all this, and the salt |
//! | `hydra:{meta}purge` | the lease of the purge |
//! | `hydra:{1a3}2f` | a bucket: a hash of content keys with packed providers |
//! | `hydra:{1a3}l` | the bucket of the long keys of a partition |
//! | `hydra:{1a3}2f:KEY` | a sorted set: the providers of a key that has many |
//! | `hydra:{1a3}kKEY` | a sorted set: the providers of a key, without scripts |
//! | `hydra:{1a3}pPEER` | a peer: its id and addresses |
//! | `hydra:{1a3}n` | the number of records of the partition |
//! | `hydra:{1a3}vKEY` | a value record |
//! | `hydra:{1a3}w` | a sorted set, the index of the value records of the partition: their keys by expiry |
//!
//! The braces, with a tag of ours in them, decide the slot in a cluster: whatever bytes come after them do not count. Each of
//! the 1,024 partitions has a tag of its own, whose slots are evenly spread.

use crate::config::Scripts;
use crate::net::slot_of;
use hydra_api::{ContentKey, PeerId, ValueKey};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::sync::LazyLock;

/// The number of parts that the records are divided into, each in one slot.
pub(crate) const PARTITIONS: u16 = 1024;
const PARTITIONS_LOG2: u32 = PARTITIONS.ilog2();
/// Longer keys than this go to buckets of their own: one value of more than 64 bytes makes Redis keep the whole hash in a form of
/// three times the size.
const KEY_BYTES_MAX: usize = 62;
const SALT_LEN: usize = 16;
/// What comes before the key in the name of a value record.
const VALUE: &[u8] = b"v";

/// What a record knows of its provider: a salted hash of its id. It is the same at every node and at every time, so it needs no
/// counter that could be lost and would then give one number to two peers.
pub(crate) type Fingerprint = [u8; 6];

/// The tag of each partition and its slot: the lowest number in hexadecimal whose slot is in the partition's part of all slots.
static TAGS: LazyLock<Vec<(String, u16)>> = LazyLock::new(|| {
    let mut tags = vec![None; usize::from(PARTITIONS)];
    let mut missing = tags.len();
    for number in 0u32.. {
        let tag = format!("{number:x}");
        let slot = slot_of(tag.as_bytes());
        let place = &mut tags[usize::from(slot / 16)];
        if place.is_none() {
            *place = Some((tag, slot));
            missing -= 1;
            if missing == 0 {
                break;
            }
        }
    }
    tags.into_iter().flatten().collect()
});

/// How records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// In buckets that scripts change.
    Buckets {
        /// The number of buckets, as a power of two.
        log2: u8,
    },
    /// In a sorted set for each key.
    Plain,
}

/// The names of one store's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    prefix: String,
    salt: [u8; SALT_LEN],
    pub(crate) form: Form,
}

/// A name of a key, and its slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(crate) bytes: Vec<u8>,
    pub(crate) slot: u16,
    pub(crate) partition: u16,
}

impl Layout {
    /// A new one of this form.
    pub(crate) fn new(prefix: &str, form: Form) -> Self {
        Self { prefix: prefix.to_owned(), salt: rand::random(), form }
    }

    /// What tells these keys from those of another beginning.
    pub(crate) fn salt(&self) -> &[u8; SALT_LEN] {
        &self.salt
    }

    /// The form that a config asks for.
    pub(crate) fn form(scripts: Scripts, buckets_log2: u8) -> Form {
        match scripts {
            Scripts::Auto => Form::Buckets { log2: buckets_log2 },
            Scripts::Off => Form::Plain,
        }
    }

    /// What is kept under [`Self::meta`].
    pub(crate) fn text(&self) -> String {
        let mut text = match self.form {
            Form::Buckets { log2 } => format!("1 buckets {log2} "),
            Form::Plain => "1 plain 0 ".to_owned(),
        };
        for byte in self.salt {
            // A String takes whatever is written.
            let _written = write!(text, "{byte:02x}");
        }
        text
    }

    /// The layout of a text; none if it is of another version.
    pub(crate) fn of_text(prefix: &str, text: &str) -> Option<Self> {
        let [version, form, log2, salt] = text.split(' ').collect::<Vec<_>>()[..] else { return None };
        let form = match (version, form) {
            ("1", "buckets") => {
                Form::Buckets { log2: log2.parse().ok().filter(|log2| (10..=28).contains(log2))? }
            }
            ("1", "plain") => Form::Plain,
            _ => return None,
        };
        let byte = |at: usize| u8::from_str_radix(salt.get(2 * at..2 * at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..SALT_LEN).map(byte).collect();
        Some(Self { prefix: prefix.to_owned(), salt: bytes?.try_into().ok()?, form })
    }

    /// Where the layout is kept.
    pub(crate) fn meta(prefix: &str) -> Name {
        Self::in_meta(prefix, "")
    }

    /// The lease of a chore.
    pub(crate) fn lease(&self, chore: &str) -> Name {
        Self::in_meta(&self.prefix, chore)
    }

    fn in_meta(prefix: &str, rest: &str) -> Name {
        let bytes = format!("{prefix}:{{meta}}{rest}").into_bytes();
        Name { bytes, slot: slot_of(b"meta"), partition: 0 }
    }

    fn name(&self, partition: u16, rest: &[u8]) -> Name {
        let (tag, slot) = &TAGS[usize::from(partition)];
        let mut bytes = Vec::with_capacity(self.prefix.len() + tag.len() + 3 + rest.len());
        bytes.extend_from_slice(self.prefix.as_bytes());
        bytes.extend_from_slice(b":{");
        bytes.extend_from_slice(tag.as_bytes());
        bytes.push(b'}');
        bytes.extend_from_slice(rest);
        Name { bytes, slot: *slot, partition }
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        let digest = Sha256::new().chain_update(self.salt).chain_update(bytes).finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(first)
    }

    /// The bucket of a key. Nobody without the salt can choose keys of one bucket.
    pub(crate) fn bucket(&self, key: &ContentKey) -> Name {
        let hash = self.hash(key.as_bytes());
        let partition = partition_of(hash);
        if key.as_bytes().len() > KEY_BYTES_MAX {
            return self.name(partition, b"l");
        }
        let index = (hash << PARTITIONS_LOG2) >> 32;
        let of_partition = self.buckets_of_partition();
        self.name(partition, format!("{:x}", index & (of_partition - 1)).as_bytes())
    }

    /// The buckets of a partition, that of long keys among them.
    pub(crate) fn buckets(&self, partition: u16, from: u64) -> impl Iterator<Item = Name> + '_ {
        let count = self.buckets_of_partition();
        (from..=count).map(move |index| match index {
            last if last == count => self.name(partition, b"l"),
            index => self.name(partition, format!("{index:x}").as_bytes()),
        })
    }

    fn buckets_of_partition(&self) -> u64 {
        match self.form {
            Form::Buckets { log2 } => 1 << (u32::from(log2) - PARTITIONS_LOG2),
            Form::Plain => 0,
        }
    }

    /// The sorted set of a key that has many providers.
    pub(crate) fn many(&self, bucket: &Name, key: &ContentKey) -> Name {
        let mut name = bucket.clone();
        name.bytes.push(b':');
        name.bytes.extend_from_slice(&field(key));
        name
    }

    /// The sorted set of a key, without scripts.
    pub(crate) fn plain(&self, key: &ContentKey) -> Name {
        self.name(partition_of(self.hash(key.as_bytes())), &[b"k", key.as_bytes()].concat())
    }

    /// The partition of a sorted set of [`Self::plain`]; none for other keys.
    pub(crate) fn partition_of_plain(&self, name: &[u8]) -> Option<u16> {
        let rest = name.strip_prefix(self.prefix.as_bytes())?.strip_prefix(b":{")?;
        let end = rest.iter().position(|byte| *byte == b'}')?;
        let slot = slot_of(&rest[..end]);
        (rest.get(end + 1) == Some(&b'k')).then_some(slot / 16)
    }

    /// A pattern of the names of all keys.
    pub(crate) fn pattern(&self) -> String {
        format!("{}:{{*", self.prefix.replace('.', "\\."))
    }

    /// The number of records of a partition.
    pub(crate) fn count(&self, partition: u16) -> Name {
        self.name(partition, b"n")
    }

    /// A value record.
    pub(crate) fn value(&self, key: &ValueKey) -> Name {
        self.name(partition_of(self.hash(key.as_bytes())), &[VALUE, key.as_bytes()].concat())
    }

    /// The beginning of the names of the value records of a partition.
    pub(crate) fn values_of(&self, partition: u16) -> Name {
        self.name(partition, VALUE)
    }

    /// The keys of the value records of a partition by expiry.
    pub(crate) fn value_index(&self, partition: u16) -> Name {
        self.name(partition, b"w")
    }

    pub(crate) fn fingerprint(&self, peer: &PeerId) -> Fingerprint {
        let mut first = [0; 6];
        first.copy_from_slice(&self.hash(peer.as_bytes()).to_be_bytes()[..6]);
        first
    }

    /// Where a peer is kept.
    pub(crate) fn peer(&self, fingerprint: &Fingerprint) -> Name {
        let partition = u16::from_be_bytes([fingerprint[0], fingerprint[1]]) >> (16 - PARTITIONS_LOG2);
        self.name(partition, &[&b"p"[..], fingerprint].concat())
    }
}

fn partition_of(hash: u64) -> u16 {
    (hash >> (64 - PARTITIONS_LOG2)) as u16
}

/// The field of a key in its bucket: a SHA-256 multihash (0x12 0x20 and 32 bytes) loses its first two bytes, which nearly all keys
/// share. Other keys of 32 bytes and more gain one, so that no two keys have the same field.
pub(crate) fn field(key: &ContentKey) -> Vec<u8> {
    let bytes = key.as_bytes();
    match bytes {
        [0x12, 0x20, digest @ ..] if digest.len() == 32 => digest.to_vec(),
        bytes if bytes.len() >= 32 => [bytes, &[0]].concat(),
        bytes => bytes.to_vec(),
    }
}

/// The key of a field; none if it is no field.
pub(crate) fn key_of(field: &[u8]) -> Option<ContentKey> {
    match field {
        digest if digest.len() == 32 => ContentKey::new(&[&[0x12, 0x20], digest].concat()).ok(),
        [key @ .., 0] if key.len() >= 32 => ContentKey::new(key).ok(),
        key => ContentKey::new(key).ok().filter(|key| key.as_bytes().len() < 32),
    }
}

#[cfg(test)]
mod tests;

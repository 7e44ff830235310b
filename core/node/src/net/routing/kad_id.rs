//! Places in the key space.

use libp2p::PeerId;
use sha2::{Digest, Sha256};
use std::fmt;

/// The Kademlia id of a peer or key: the SHA-256 of its bytes (requirements N5, N6, N7). Distance is XOR.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KadId([u8; 32]);

impl KadId {
    /// How many bits an id has.
    pub const BITS: u32 = 256;

    /// The id of a key, or of a content id's multihash.
    pub fn of_key(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// The id of a peer.
    pub fn of_peer(peer: &PeerId) -> Self {
        Self::of_key(&peer.to_bytes())
    }

    /// The id itself.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The XOR distance to `other`; compares as a number.
    pub fn distance(&self, other: &Self) -> [u8; 32] {
        std::array::from_fn(|at| self.0[at] ^ other.0[at])
    }

    /// The leading 64 bits of the distance to `other`: nearly always enough to compare two distances.
    pub(crate) fn distance_prefix(&self, other: &Self) -> u64 {
        let prefix = |id: &Self| u64::from_be_bytes(std::array::from_fn(|at| id.0[at]));
        prefix(self) ^ prefix(other)
    }

    /// How many leading bits it shares with `other`, 0 to 256: the number of the bucket in which `other` falls.
    pub fn common_prefix(&self, other: &Self) -> u32 {
        let mut shared = 0;
        for (mine, theirs) in self.0.iter().zip(&other.0) {
            let differing = (mine ^ theirs).leading_zeros();
            shared += differing;
            if differing < 8 {
                break;
            }
        }
        shared
    }

    /// Whether the bit at `at`, counted from the most significant, is set.
    pub(crate) const fn bit(&self, at: u32) -> bool {
        self.0[(at / 8) as usize] & (0x80 >> (at % 8)) != 0
    }

    /// The lowest and the highest id that share exactly `prefix` leading bits with this one; `prefix` < 256.
    pub(crate) fn bucket(&self, prefix: u32) -> (Self, Self) {
        let at = (prefix / 8) as usize;
        let flip = 0x80u8 >> (prefix % 8);
        let below = flip - 1;
        let (mut low, mut high) = (*self, *self);
        low.0[at] = (self.0[at] ^ flip) & !below;
        high.0[at] = (self.0[at] ^ flip) | below;
        low.0[at + 1..].fill(0);
        high.0[at + 1..].fill(0xff);
        (low, high)
    }
}

impl fmt::Debug for KadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n5_the_id_of_a_peer_is_the_sha256_of_its_bytes() {
        let peer: PeerId = "12D3KooWLU2znyJMtDiHArqAGbZn8CgUGp92kxDBtefftEEaHSZS".parse().unwrap();
        let id = "e43d28f0996557c0d5571d75c62a57a59d7ac1d30a51ecedcdb9d5e4afa56100";
        assert_eq!(format!("{:?}", KadId::of_peer(&peer)), id);
    }

    #[test]
    fn n6_the_id_of_content_is_the_sha256_of_its_multihash() {
        let multihash: Vec<u8> = (0..34)
            .map(|at| {
                "1220e536c7f88d731f374dccb568aff6f56e838a19382e488039b1ca8ad2599e82fe".split_at(at * 2).1
            })
            .map(|rest| u8::from_str_radix(&rest[..2], 16).unwrap())
            .collect();
        let id = "d623250f3f660ab4c3a53d3c97b3f6a0194c548053488d093520206248253bcb";
        assert_eq!(format!("{:?}", KadId::of_key(&multihash)), id);
    }

    #[test]
    fn a_bucket_holds_the_ids_with_exactly_that_prefix() {
        let id = KadId::of_key(b"here");
        for prefix in [0, 1, 7, 8, 100, 255] {
            let (low, high) = id.bucket(prefix);
            assert_eq!(id.common_prefix(&low), prefix);
            assert_eq!(id.common_prefix(&high), prefix);
            assert!(low <= high);
        }
        assert_eq!(id.common_prefix(&id), KadId::BITS);
    }
}

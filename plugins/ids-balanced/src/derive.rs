//! From a seed and a slot to an identity.
//!
//! The key of a slot is HKDF-SHA256(seed, "hydra balanced v1" ‖ slot ‖ attempt), both as 32 bit big-endian numbers,
//! of the first attempt that gives a Kademlia id (the SHA-256 of the peer id) with the wanted first bits. Those are
//! the lowest bits of the slot, the lowest first: the order of van der Corput. Among any consecutive slots, the heads
//! under any two prefixes of the same length, up to [`PREFIX_BITS`], differ in number by one at most. So a fleet is
//! balanced whatever its size, and each process finds the heads of its own slots without those before them.

use crate::Seed;
use hkdf::Hkdf;
use hydra_api::{Identity, PeerId};
use libp2p_identity::ed25519;
use sha2::{Digest, Sha256};
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use zeroize::Zeroizing;

/// How many first bits of the Kademlia id are chosen: 1,024 heads have one prefix each. A slot takes 1,024 attempts
/// on average, whatever its number.
pub const PREFIX_BITS: u32 = 10;

const INFO: &[u8; 17] = b"hydra balanced v1";

/// What goes before the 32 bytes of an Ed25519 public key to make a peer id (libp2p peer ids specification): the
/// identity multihash of 36 bytes, and the header of the protobuf message in it.
const PEER_ID_HEAD: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The identity of a slot.
#[derive(Debug, Clone)]
pub struct Head {
    /// The number of the head in its fleet.
    pub slot: u32,
    /// The public id.
    pub peer: PeerId,
    /// The private key.
    pub identity: Identity,
    /// Which attempt gave it, from 0.
    pub attempt: u32,
}

/// The first bits of the Kademlia id that a slot's head has, [`PREFIX_BITS`] of them from the highest on; the rest is
/// nought.
pub const fn prefix(slot: u32) -> u16 {
    (slot.reverse_bits() >> 16) as u16 & PREFIX_MASK
}

const PREFIX_MASK: u16 = !(u16::MAX >> PREFIX_BITS);

/// The head of one slot. Takes some 20 ms of one core.
pub fn derive(seed: &Seed, slot: u32) -> Head {
    Deriver::new(seed).search(slot)
}

/// The heads of many slots, in their order, found on all cores. `progress` is told, from any thread, how many are
/// found. Blocks: call it from a thread that may.
pub fn derive_all(seed: &Seed, slots: &[u32], progress: &(dyn Fn(usize) + Sync)) -> Vec<Head> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let heads: Vec<OnceLock<Head>> = slots.iter().map(|_| OnceLock::new()).collect();
    let work = || {
        let deriver = Deriver::new(seed);
        while let Some((slot, place)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            slots.get(index).zip(heads.get(index))
        } {
            place.get_or_init(|| deriver.search(*slot));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    std::thread::scope(|scope| {
        (1..cores.min(slots.len())).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    heads.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// Derives from one seed.
pub(crate) struct Deriver(Hkdf<Sha256>);

impl Deriver {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self(Hkdf::new(None, seed.as_bytes()))
    }

    fn search(&self, slot: u32) -> Head {
        let mut attempt = 0;
        loop {
            if let Some(head) = self.attempt(slot, attempt) {
                return head;
            }
            attempt += 1;
        }
    }

    /// The head of a slot, if this attempt gives it.
    pub(crate) fn attempt(&self, slot: u32, attempt: u32) -> Option<Head> {
        let mut info = [0; INFO.len() + 8];
        info[..INFO.len()].copy_from_slice(INFO);
        info[INFO.len()..INFO.len() + 4].copy_from_slice(&slot.to_be_bytes());
        info[INFO.len() + 4..].copy_from_slice(&attempt.to_be_bytes());
        let mut key = Zeroizing::new([0; 32]);
        self.0.expand(&info, &mut *key).ok()?;

        let public = ed25519::Keypair::from(ed25519::SecretKey::try_from_bytes(*key).ok()?).public();
        let mut peer = [0; PEER_ID_HEAD.len() + 32];
        peer[..PEER_ID_HEAD.len()].copy_from_slice(&PEER_ID_HEAD);
        peer[PEER_ID_HEAD.len()..].copy_from_slice(&public.to_bytes());
        let kademlia = Sha256::digest(peer);
        if u16::from_be_bytes([kademlia[0], kademlia[1]]) & PREFIX_MASK != prefix(slot) {
            return None;
        }
        let peer = PeerId::new(&peer).ok()?;
        Some(Head { slot, peer, identity: Identity::from_ed25519_seed(*key), attempt })
    }

    /// Tells seeds apart without telling anything of them.
    pub(crate) fn fingerprint(&self) -> String {
        let mut bytes = [0; 8];
        // Eight bytes are far within what HKDF can expand to.
        self.0.expand(b"hydra balanced v1 fingerprint", &mut bytes).ok();
        crate::seed::hex(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn kademlia(head: &Head) -> [u8; 32] {
        Sha256::digest(head.peer.as_bytes()).into()
    }

    #[test]
    fn prefixes_come_in_the_order_of_van_der_corput() {
        let eighths: Vec<u16> = (0..8).map(|slot| prefix(slot) >> 13).collect();
        assert_eq!(eighths, [0b000, 0b100, 0b010, 0b110, 0b001, 0b101, 0b011, 0b111]);
        assert_eq!(prefix(1_024), prefix(0), "after every prefix was had, they come again");
    }

    #[test]
    fn every_prefix_of_the_sequence_is_balanced_at_every_size() {
        let slots: Vec<u32> = (0..64).collect();
        let heads = derive_all(&Seed::from_bytes([7; 32]), &slots, &|_| ());
        for len in 1..=heads.len() {
            for bits in 1..=6 {
                let mut under: HashMap<u8, i32> = (0..1_u8 << bits).map(|prefix| (prefix, 0)).collect();
                for head in &heads[..len] {
                    *under.entry(kademlia(head)[0] >> (8 - bits)).or_insert(0) += 1;
                }
                let (least, most) = (under.values().min(), under.values().max());
                assert!(most.unwrap() - least.unwrap() <= 1, "{len} heads under {bits} bits: {under:?}");
            }
        }
    }

    #[test]
    fn any_slot_is_found_without_those_before_it() {
        let seed = Seed::from_bytes([7; 32]);
        let alone = derive(&seed, 5);
        let among = derive_all(&seed, &[3, 4, 5], &|_| ());
        assert_eq!(among.iter().map(|head| head.slot).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!((alone.peer, alone.attempt), (among[2].peer, among[2].attempt));
    }

    /// What a seed gives can never change again: the identities of every fleet follow from it.
    #[test]
    fn i1_a_seed_gives_these_identities_for_ever() {
        let seed = Seed::from_bytes([7; 32]);
        let ids = [0, 1, 1_023].map(|slot| {
            let head = derive(&seed, slot);
            libp2p_identity::PeerId::from_bytes(head.peer.as_bytes()).unwrap().to_base58()
        });
        assert_eq!(
            ids,
            [
                "12D3KooWBAuf58KVdhbF6MTtuSRmrYNJwh3kWhJjktZeGxG4zc6W",
                "12D3KooWLmZY5vHhpNNdRwJrbqc3mFURJtxrMPQg8MrnirUUKKSa",
                "12D3KooWLNtBVhBRSHtpF351D5bqMfNdiiyCt8qR47ioeeEkgzeo",
            ]
        );
    }

    #[test]
    fn i5_the_peer_id_is_the_one_that_libp2p_makes_of_the_key() {
        let head = derive(&Seed::from_bytes([9; 32]), 2);
        let keypair = libp2p_identity::Keypair::ed25519_from_bytes(*head.identity.ed25519_seed()).unwrap();
        assert_eq!(keypair.public().to_peer_id().to_bytes(), head.peer.as_bytes());
    }

    #[test]
    fn progress_is_told_once_for_every_head() {
        let told = AtomicUsize::new(0);
        derive_all(&Seed::from_bytes([7; 32]), &[0, 1, 2, 3], &|done| {
            assert!(done <= 4);
            told.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(told.into_inner(), 4);
    }
}

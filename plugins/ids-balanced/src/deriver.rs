//! From a seed and an attempt to an identity, and which attempts are tried.
//!
//! A key is HKDF-SHA256(seed, info ‖ a ‖ attempt), with `info` and both numbers, 32 bits in big-endian order, by the
//! derivation of the seed. Which attempt is taken goes by the Kademlia id, the SHA-256 of the peer id.
//!
//! *Derivation 1*: `a` is the slot, and the first attempt is taken that has the wanted first bits. Those are
//! the lowest bits of the slot, the lowest first: the order of van der Corput. Among any consecutive slots, the heads
//! under any two prefixes of the same length, up to [`PREFIX_BITS`], differ in number by one at most.
//!
//! *Derivation 2*: `a` is the era of the slot, so that all slots of an era have the same attempts, and the first one is
//! taken that lies in the window of the slot ([`crate::sequence`]). Five bits are balanced among consecutive slots, and no
//! gap between neighbours is longer than twice the ideal one.

use crate::derivation::era;
use crate::{Derivation, Seed};
use hkdf::Hkdf;
use hydra_api::{Identity, PeerId};
use libp2p_identity::ed25519;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// How many first bits of the Kademlia id derivation 1 chooses: 1,024 heads have one prefix each. A slot takes 1,024
/// attempts on average, whatever its number.
pub const PREFIX_BITS: u32 = 10;

const INFO_LEN: usize = Derivation::NEWEST.info().len();

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

impl Head {
    /// The first bits of the Kademlia id.
    pub(crate) fn position(&self) -> u64 {
        position(self.peer.as_bytes())
    }
}

/// The first bits of the Kademlia id that a slot's head has under derivation 1, [`PREFIX_BITS`] of them from the highest
/// on; the rest is nought.
pub const fn prefix(slot: u32) -> u16 {
    (slot.reverse_bits() >> 16) as u16 & PREFIX_MASK
}

/// Whether a position has the prefix of a slot.
pub(crate) const fn has_prefix(position: u64, slot: u32) -> bool {
    (position >> 48) as u16 & PREFIX_MASK == prefix(slot)
}

const PREFIX_MASK: u16 = !(u16::MAX >> PREFIX_BITS);

/// Derives from one seed.
pub(crate) struct Deriver {
    hkdf: Hkdf<Sha256>,
    derivation: Derivation,
}

impl Deriver {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self { hkdf: Hkdf::new(None, seed.as_bytes()), derivation: seed.derivation() }
    }

    pub(crate) fn derivation(&self) -> Derivation {
        self.derivation
    }

    /// The first attempt of derivation 1 that has the prefix of the slot.
    pub(crate) fn search(&self, slot: u32) -> Head {
        let mut attempt = 0;
        loop {
            let position = self.position(slot, attempt);
            if position.is_some_and(|position| has_prefix(position, slot))
                && let Some(head) = self.head(slot, attempt)
            {
                return head;
            }
            attempt += 1;
        }
    }

    /// What an attempt gives, whether it fits the slot or not.
    pub(crate) fn head(&self, slot: u32, attempt: u32) -> Option<Head> {
        let a = match self.derivation {
            Derivation::One => slot,
            Derivation::Two => era(slot),
        };
        let (key, peer) = self.key(a, attempt)?;
        let peer = PeerId::new(&peer).ok()?;
        Some(Head { slot, peer, identity: Identity::from_ed25519_seed(*key), attempt })
    }

    /// Where an attempt lies.
    pub(crate) fn position(&self, a: u32, attempt: u32) -> Option<u64> {
        self.key(a, attempt).map(|(_, peer)| position(&peer))
    }

    fn key(&self, a: u32, attempt: u32) -> Option<(Zeroizing<[u8; 32]>, [u8; PEER_ID_HEAD.len() + 32])> {
        let mut info = [0; INFO_LEN + 8];
        info[..INFO_LEN].copy_from_slice(self.derivation.info());
        info[INFO_LEN..INFO_LEN + 4].copy_from_slice(&a.to_be_bytes());
        info[INFO_LEN + 4..].copy_from_slice(&attempt.to_be_bytes());
        let mut key = Zeroizing::new([0; 32]);
        self.hkdf.expand(&info, &mut *key).ok()?;

        let public = ed25519::Keypair::from(ed25519::SecretKey::try_from_bytes(*key).ok()?).public();
        let mut peer = [0; PEER_ID_HEAD.len() + 32];
        peer[..PEER_ID_HEAD.len()].copy_from_slice(&PEER_ID_HEAD);
        peer[PEER_ID_HEAD.len()..].copy_from_slice(&public.to_bytes());
        Some((key, peer))
    }

    /// Tells seeds apart without telling anything of them.
    pub(crate) fn fingerprint(&self) -> String {
        let mut bytes = [0; 8];
        let info = [&self.derivation.info()[..], b" fingerprint"].concat();
        // Eight bytes are far within what HKDF can expand to.
        self.hkdf.expand(&info, &mut bytes).ok();
        crate::seed::hex(&bytes)
    }
}

fn position(peer: &[u8]) -> u64 {
    let kademlia: [u8; 32] = Sha256::digest(peer).into();
    u64::from_be_bytes(std::array::from_fn(|place| kademlia[place]))
}

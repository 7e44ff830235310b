//! The identities of the clients, derived from the seed.

use libp2p::identity::Keypair;
use sha2::{Digest, Sha256};

/// The identity with this number. Every process with the same seed derives the same one.
pub(crate) fn identity(seed: u64, number: u64) -> Keypair {
    let mut secret: [u8; 32] = Sha256::new()
        .chain_update(b"hydra-load identity")
        .chain_update(seed.to_be_bytes())
        .chain_update(number.to_be_bytes())
        .finalize()
        .into();
    // Fails only on a length other than 32.
    Keypair::ed25519_from_bytes(&mut secret).unwrap_or_else(|_| Keypair::generate_ed25519())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_follows_from_seed_and_number() {
        let peer = |seed, number| identity(seed, number).public().to_peer_id();
        assert_eq!(peer(1, 2), peer(1, 2));
        assert!(peer(1, 2) != peer(1, 3) && peer(1, 2) != peer(2, 2));
    }
}

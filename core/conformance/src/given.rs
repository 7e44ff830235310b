//! Keys, peers and addresses that tests agree on, and a source of chance whose seed is told.

use hydra_api::{Addresses, ContentKey, PeerId, ProviderRecord, UnixSeconds};
use std::sync::Arc;
use std::time::Duration;

/// The moment at which cases begin; no case looks at a clock.
pub const NOW: UnixSeconds = UnixSeconds(1_900_000_000);

/// How long a record lives that is announced now.
pub const LIFE: Duration = Duration::from_secs(48 * 3600);

/// The key of this number: 34 bytes, a SHA-256 multihash to look at.
pub fn key(number: u64) -> ContentKey {
    let mut bytes = [0; 34];
    bytes[..2].copy_from_slice(&[0x12, 0x20]);
    Chance::of(number).fill(&mut bytes[2..]);
    content_key(&bytes)
}

/// The key of these bytes.
///
/// # Panics
/// When they are no key.
pub fn content_key(bytes: &[u8]) -> ContentKey {
    match ContentKey::new(bytes) {
        Ok(key) => key,
        Err(cause) => panic!("{cause}"),
    }
}

/// The peer of this number: 38 bytes, an Ed25519 identity to look at.
pub fn peer(number: u64) -> PeerId {
    let mut bytes = [0; 38];
    bytes[..6].copy_from_slice(&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20]);
    Chance::of(!number).fill(&mut bytes[6..]);
    peer_id(&bytes)
}

/// The peer id of these bytes.
///
/// # Panics
/// When they are no peer id.
pub fn peer_id(bytes: &[u8]) -> PeerId {
    match PeerId::new(bytes) {
        Ok(peer) => peer,
        Err(cause) => panic!("{cause}"),
    }
}

/// The addresses of this number: three, of IPv4 with a port.
pub fn addresses(number: u64) -> Addresses {
    let mut chance = Chance::of(number ^ 0xadd2);
    Addresses::fitting((0..3).map(|_| {
        let mut address = [4, 0, 0, 0, 0, 6, 0, 0];
        chance.fill(&mut address[1..5]);
        chance.fill(&mut address[6..]);
        address
    }))
}

/// A record of a key, a provider and the provider's own addresses, that lives for [`LIFE`].
pub fn record(key_number: u64, provider_number: u64) -> ProviderRecord {
    ProviderRecord {
        key: key(key_number),
        provider: peer(provider_number),
        addresses: addresses(provider_number),
        expires: NOW.saturating_add(LIFE),
    }
}

/// These records as the batch of an insert.
pub fn batch(records: &[ProviderRecord]) -> Arc<[ProviderRecord]> {
    Arc::from(records)
}

/// Numbers that look random and follow from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The numbers of this seed.
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed from the environment variable `TEST_SEED`, so that a failure can be run again; else a new one.
    pub fn seed() -> u64 {
        let told = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        told.unwrap_or_else(|| {
            let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
            Self::of(since.as_nanos() as u64).next()
        })
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and an Option would be in the way")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or(0)
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

//! The content keys, and which of them have providers.

use crate::plan::{Plan, PlanError, Presence};
use bytes::Bytes;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, Zipf};
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long after the generator's own announcement of a key an answer without providers starts to count as empty: an
/// announcement has no reply, and may still be on its way when a later request overtakes it on another connection.
const ANNOUNCED_AFTER: Duration = Duration::from_secs(1);

/// The first two bytes of a SHA-256 multihash: its code and the length of the digest.
const SHA2_256: [u8; 2] = [0x12, 0x20];

/// The keys of a run: as many that have providers as that have none. Each key follows from the seed and its number, so
/// that runs and processes with the same seed share them.
#[derive(Debug)]
pub struct KeySpace {
    seed: u64,
    len: u64,
    zipf: Option<Zipf<f64>>,
    announced: Announced,
}

/// What is known about the providers of the keys.
#[derive(Debug)]
enum Announced {
    /// Every present key has providers.
    All,
    /// When each key was announced first, in milliseconds from the start and not 0; 0 if it was not.
    Since { start: Instant, at_ms: Vec<AtomicU32> },
}

/// A key of the space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// One that the clients announce.
    Present(u64),
    /// One that nobody announces.
    Absent(u64),
}

impl KeySpace {
    /// The keys of the plan.
    ///
    /// # Errors
    /// If the Zipf exponent is out of bounds.
    pub fn new(plan: &Plan) -> Result<Self, PlanError> {
        let zipf = match plan.zipf {
            0.0 => None,
            exponent => Some(Zipf::new(plan.keys as f64, exponent).map_err(|_| PlanError::Zipf)?),
        };
        let announced = match plan.presence {
            Presence::Preload { .. } | Presence::Held => Announced::All,
            Presence::Announced => Announced::Since {
                start: Instant::now(),
                at_ms: (0..plan.keys).map(|_| AtomicU32::new(0)).collect(),
            },
        };
        Ok(Self { seed: plan.seed, len: plan.keys, zipf, announced })
    }

    /// The multihash of the present key with this number.
    pub fn present(&self, number: u64) -> Bytes {
        self.multihash(b"hydra-load present", number)
    }

    /// The multihash of the absent key with this number.
    pub fn absent(&self, number: u64) -> Bytes {
        self.multihash(b"hydra-load absent", number)
    }

    pub(crate) fn bytes(&self, key: Key) -> Bytes {
        match key {
            Key::Present(number) => self.present(number),
            Key::Absent(number) => self.absent(number),
        }
    }

    /// Draws the number of a key, by popularity.
    pub(crate) fn draw(&self, random: &mut impl Rng) -> u64 {
        match &self.zipf {
            None => random.random_range(0..self.len),
            // It yields 1.0 to the number of keys.
            Some(zipf) => (zipf.sample(random) as u64).saturating_sub(1).min(self.len - 1),
        }
    }

    /// True if an answer without providers for this key is incomplete.
    pub(crate) fn has_providers(&self, key: Key) -> bool {
        let Key::Present(number) = key else { return false };
        match &self.announced {
            Announced::All => true,
            Announced::Since { start, at_ms } => {
                let at = at_ms.get(number as usize).map_or(0, |at| at.load(Ordering::Relaxed));
                at != 0 && start.elapsed() >= Duration::from_millis(at.into()) + ANNOUNCED_AFTER
            }
        }
    }

    /// Notes that this key was announced.
    pub(crate) fn announced(&self, key: Key) {
        if let (Key::Present(number), Announced::Since { start, at_ms }) = (key, &self.announced)
            && let Some(at) = at_ms.get(number as usize)
        {
            let now = u32::try_from(start.elapsed().as_millis()).unwrap_or(u32::MAX).max(1);
            // The first announcement counts. One that is made at the same time may take its place, which does no harm.
            if at.load(Ordering::Relaxed) == 0 {
                at.store(now, Ordering::Relaxed);
            }
        }
    }

    fn multihash(&self, domain: &[u8], number: u64) -> Bytes {
        let digest = Sha256::new()
            .chain_update(domain)
            .chain_update(self.seed.to_be_bytes())
            .chain_update(number.to_be_bytes())
            .finalize();
        let mut key = Vec::with_capacity(SHA2_256.len() + digest.len());
        key.extend_from_slice(&SHA2_256);
        key.extend_from_slice(&digest);
        key.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn space(keys: u64, zipf: f64) -> KeySpace {
        KeySpace::new(&Plan { keys, zipf, ..Plan::new(Vec::new(), Vec::new()) }).unwrap()
    }

    #[test]
    fn keys_follow_from_the_seed_and_absent_ones_are_others() {
        let (one, other) = (space(10, 0.0), space(10, 0.0));
        assert_eq!(one.present(3), other.present(3));
        assert_ne!(one.present(3), one.absent(3));
        assert_eq!(one.present(3).len(), 34);
    }

    #[test]
    fn zipf_keys_have_the_popularity_of_their_rank_and_uniform_ones_the_same() {
        let mut random = StdRng::seed_from_u64(7);
        let mut count = |space: &KeySpace| {
            let mut counts = [0_u32; 100];
            (0..200_000).for_each(|_| counts[space.draw(&mut random) as usize] += 1);
            counts
        };
        let harmonic: f64 = (1..=100).map(|rank| 1.0 / f64::from(rank)).sum();
        let zipf = count(&space(100, 1.0));
        for rank in [1_usize, 2, 10] {
            let ratio = f64::from(zipf[rank - 1]) / (200_000.0 / harmonic / rank as f64);
            assert!((0.95..1.05).contains(&ratio), "rank {rank}: {ratio}");
        }
        let uniform = count(&space(100, 0.0));
        assert!(uniform.iter().all(|count| (1700..2300).contains(count)), "{uniform:?}");
    }

    #[test]
    fn a_key_has_providers_some_time_after_its_own_announcement_or_if_the_server_holds_all() {
        let space = space(10, 0.0);
        space.announced(Key::Present(1));
        assert!(!space.has_providers(Key::Present(1)), "it may still be on its way");
        let held = KeySpace::new(&Plan { presence: Presence::Held, ..Plan::new(Vec::new(), Vec::new()) });
        let held = held.unwrap();
        assert!(held.has_providers(Key::Present(1)) && !held.has_providers(Key::Absent(1)));
    }
}

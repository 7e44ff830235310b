//! What an announcement is worth, and which ones are dropped when not all can be taken.

use crate::config::Shedding;
use crate::request::Distance;
use hydra_api::admission::Level;
use hydra_api::{PeerId, Rung, UnixSeconds};
use std::hash::{BuildHasher, RandomState};

/// What an announcement is worth, the least first. A refresh repeats what the store has for a while yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    FarRefresh,
    NearRefresh,
    FarNew,
    NearNew,
}

impl Rank {
    pub(crate) const ALL: [Self; 4] = [Self::FarRefresh, Self::NearRefresh, Self::FarNew, Self::NearNew];

    pub(super) const fn of(is_refresh: bool, distance: Distance) -> Self {
        match (is_refresh, distance) {
            (true, Distance::Far) => Self::FarRefresh,
            (true, Distance::Near) => Self::NearRefresh,
            (false, Distance::Far) => Self::FarNew,
            (false, Distance::Near) => Self::NearNew,
        }
    }

    /// Its name in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::FarRefresh => "far_refresh",
            Self::NearRefresh => "near_refresh",
            Self::FarNew => "far_new",
            Self::NearNew => "near_new",
        }
    }
}

/// Drops announcements by their worth.
#[derive(Debug)]
pub(super) struct Shed {
    config: Shedding,
    /// Secret, so that nobody finds a peer id that never loses.
    hasher: RandomState,
}

impl Shed {
    pub(super) fn new(config: Shedding) -> Self {
        Self { config, hasher: RandomState::new() }
    }

    /// The shares that are dropped, by rank and in percent; nothing if none is.
    pub(super) fn shares(&self, rung: Rung, queue: Level) -> Option<[u32; Rank::ALL.len()]> {
        let mut shares = match rung {
            Rung::Short => self.config.short,
            Rung::Stale => self.config.stale,
            Rung::NearOnly => self.config.near_only,
            Rung::CacheOnly => self.config.cache_only,
            _ => crate::config::Shares::NONE,
        }
        .by_rank();
        let (filled, from) = (queue.percent(), self.config.write_queue_percent.min(100));
        if filled > from {
            // The three lower ranks one after the other; the last quarter of the way is for the highest one.
            let way = (filled - from) * 400 / (100 - from);
            for (below, share) in shares.iter_mut().take(3).enumerate() {
                *share = (*share).max(way.saturating_sub(100 * below as u32).min(100));
            }
        }
        shares.iter().any(|share| *share > 0).then_some(shares)
    }

    /// Whether this peer is among the share that loses in this hour.
    pub(super) fn loses(&self, peer: &PeerId, share_percent: u32, now: UnixSeconds) -> bool {
        let ticket = || self.hasher.hash_one((peer, now.0 / 3_600)) % 100;
        share_percent >= 100 || (share_percent > 0 && ticket() < u64::from(share_percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(used: u32) -> Level {
        Level { used, max: 100 }
    }

    fn peer(number: u32) -> PeerId {
        let mut id = [1; 38];
        id[..4].copy_from_slice(&number.to_be_bytes());
        PeerId::new(&id).unwrap()
    }

    #[test]
    fn a_queue_that_fills_sheds_one_rank_after_the_other_and_the_highest_never() {
        let shed = Shed::new(Shedding::default());
        assert_eq!(shed.shares(Rung::Full, level(70)), None);
        assert_eq!(shed.shares(Rung::Full, level(75)), Some([66, 0, 0, 0]));
        assert_eq!(shed.shares(Rung::Full, level(85)), Some([100, 100, 0, 0]));
        assert_eq!(shed.shares(Rung::Full, level(93)), Some([100, 100, 100, 0]));
        assert_eq!(shed.shares(Rung::Full, level(100)), Some([100, 100, 100, 0]));
        let off = Shed::new(Shedding { write_queue_percent: 100, ..Shedding::default() });
        assert_eq!(off.shares(Rung::Full, level(100)), None);
    }

    #[test]
    fn each_rung_sheds_what_the_config_says_or_what_the_queue_does() {
        let shed = Shed::new(Shedding::default());
        assert_eq!(shed.shares(Rung::Short, level(0)), None);
        assert_eq!(shed.shares(Rung::Stale, level(0)), Some([100, 100, 0, 0]));
        assert_eq!(shed.shares(Rung::Stale, level(88)), Some([100, 100, 40, 0]));
        assert_eq!(shed.shares(Rung::CacheOnly, level(0)), Some([100, 100, 100, 0]));
    }

    #[test]
    fn of_a_share_other_peers_lose_in_the_next_hour() {
        let shed = Shed::new(Shedding::default());
        let lose = |hour: u32| -> Vec<bool> {
            (0..4_000).map(|number| shed.loses(&peer(number), 25, UnixSeconds(hour * 3_600 + 7))).collect()
        };
        let (first, next) = (lose(1_000), lose(1_001));
        for hour in [&first, &next] {
            let lost = hour.iter().filter(|loses| **loses).count();
            assert!((850..=1_150).contains(&lost), "{lost} of 4000");
        }
        let both = first.iter().zip(&next).filter(|(one, other)| **one && **other).count();
        assert!((150..=350).contains(&both), "{both}: one in four of them again");
        assert_eq!(first, lose(1_000), "the same ones all the hour");
        assert!((0..100).all(|number| !shed.loses(&peer(number), 0, UnixSeconds(1))));
        assert!((0..100).all(|number| shed.loses(&peer(number), 100, UnixSeconds(1))));
    }
}

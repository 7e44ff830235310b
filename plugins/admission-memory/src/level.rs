//! What the memory calls for: nothing, degrading, declining.

use crate::config::Config;

/// From a measurement to what is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Level {
    #[default]
    Calm,
    Soft,
    Hard,
}

impl Level {
    /// All of them, in the order of their discriminants.
    pub(crate) const ALL: [Self; 3] = [Self::Calm, Self::Soft, Self::Hard];

    /// The level at this part of the limit, after it was `self`: one that is in force ends only when the memory has
    /// fallen some way below it.
    pub(crate) fn next(self, permille: u32, config: &Config) -> Self {
        let reached = |percent: u32, level: Self| {
            let held = if self as u8 >= level as u8 { config.recover_percent } else { 0 };
            permille >= percent.saturating_sub(held) * 10
        };
        if reached(config.hard_percent, Self::Hard) {
            Self::Hard
        } else if reached(config.soft_percent, Self::Soft) {
            Self::Soft
        } else {
            Self::Calm
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(permilles: &[u32]) -> Vec<Level> {
        let config = Config::default();
        permilles
            .iter()
            .scan(Level::Calm, |level, permille| {
                *level = level.next(*permille, &config);
                Some(*level)
            })
            .collect()
    }

    #[test]
    fn a_level_begins_at_its_percentage_and_ends_some_way_below() {
        use Level::{Calm, Hard, Soft};
        assert_eq!(walk(&[849, 850, 849, 801, 800, 799, 849]), [Calm, Soft, Soft, Soft, Soft, Calm, Calm]);
        assert_eq!(walk(&[949, 950, 949, 900, 899, 949, 799]), [Soft, Hard, Hard, Hard, Soft, Soft, Calm]);
        assert_eq!(walk(&[2_000, 0]), [Hard, Calm]);
    }

    #[test]
    fn without_a_way_to_fall_it_follows_each_measurement() {
        let config = Config { recover_percent: 0, ..Config::default() };
        assert_eq!(Level::Hard.next(949, &config), Level::Soft);
        assert_eq!(Level::Soft.next(849, &config), Level::Calm);
    }
}

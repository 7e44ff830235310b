//! Which rules lead from a seed to identities.

use std::fmt;

/// The version of the rules by which identities follow from a seed. It is a part of the seed: what a seed gives never
/// changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Derivation {
    /// Each slot searches for a key of its own, with the first ten bits in the order of van der Corput. Seeds without a
    /// version are of this one.
    One,
    /// All slots search in one sequence of keys, each for the middle of a gap between heads before it. The gap between
    /// neighbours is at most twice the ideal one at every size up to 65,536 heads.
    Two,
}

impl Derivation {
    /// That of the seeds which are made now.
    pub const NEWEST: Self = Self::Two;

    /// How it is written.
    pub const fn number(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// The one with this number.
    pub(crate) fn of(number: &str) -> Option<Self> {
        match number {
            "1" => Some(Self::One),
            "2" => Some(Self::Two),
            _ => None,
        }
    }

    /// What goes into the derivation of every key before the numbers.
    pub(crate) const fn info(self) -> &'static [u8; 17] {
        match self {
            Self::One => b"hydra balanced v1",
            Self::Two => b"hydra balanced v2",
        }
    }
}

/// Heads that share a sequence of candidates: beyond so many it starts anew, so that no head takes ever longer.
pub(crate) const ERA_BITS: u32 = 16;

/// In which sequence of candidates a slot of derivation 2 searches.
pub(crate) fn era(slot: u32) -> u32 {
    slot >> ERA_BITS
}

impl fmt::Display for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

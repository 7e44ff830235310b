//! Where is measured: a backend under a share of a core, and the rate that the multiples are of.

use crate::quota::Share;
use crate::server::Backend;

/// The quarter of a core on which hydra-booster was measured.
const QUARTER: Share = Share { quota_us: 2_500, period_us: 10_000 };
/// So little that fifty times the rate that saturates it can be offered by a machine of two cores. The kernel grants no less than
/// 1 ms at a time.
const SLIVER: Share = Share { quota_us: 1_000, period_us: 40_000 };

/// A backend and its share of a core.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) backend: Backend,
    pub(crate) share: Share,
    /// The name of its files.
    pub(crate) name: String,
    pub(crate) base: Base,
}

/// The rate that the multiples are of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Base {
    /// The highest at which the store layer is not degraded, found by a staircase from this rate on.
    Measured { from: f64 },
    /// This one.
    Fixed(f64),
}

/// The shares that a server can be held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ShareName {
    /// 2.5 % of a core, which this machine can overload fifty times.
    Sliver,
    /// A quarter of a core, on which hydra-booster was measured.
    Quarter,
}

impl Place {
    /// A backend under this share.
    pub(crate) fn new(backend: Backend, share: ShareName) -> Self {
        let (suffix, share, base) = match share {
            ShareName::Sliver => ("", SLIVER, Base::Measured { from: 100.0 }),
            ShareName::Quarter => ("-quarter", QUARTER, Base::Fixed(crate::booster::SATURATED_AT)),
        };
        Self { backend, share, name: format!("{}{suffix}", backend.name()), base }
    }

    /// The name of the files of an arm here.
    pub(crate) fn file_of(&self, arm: &str) -> String {
        if arm == crate::arm::SHIPPED { self.name.clone() } else { format!("{}-{arm}", self.name) }
    }
}

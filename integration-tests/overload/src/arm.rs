//! What is measured: a backend under a share of a core, and the rates at which the node over it is asked.

use crate::quota::Share;
use crate::server::Backend;
use std::time::Duration;

/// The rates of the steps, in multiples of the rate that saturates the server.
pub(crate) const MULTIPLES: [f64; 6] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0];

/// The quarter of a core of the requirement.
const QUARTER: Share = Share { quota_us: 2_500, period_us: 10_000 };
/// So little that twenty times the rate that saturates it can be offered by a machine of two cores. The kernel grants no less than
/// 1 ms at a time.
const SLIVER: Share = Share { quota_us: 1_000, period_us: 40_000 };

/// One measurement.
#[derive(Debug, Clone)]
pub(crate) struct Arm {
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

impl Arm {
    /// The arms of a backend: one that the machine can overload, then the quarter of a core.
    pub(crate) fn of(backend: Backend) -> [Self; 2] {
        let arm = |share, suffix: &str, base| Self {
            backend,
            share,
            name: format!("{}{suffix}", backend.name()),
            base,
        };
        [
            arm(SLIVER, "", Base::Measured { from: 100.0 }),
            arm(QUARTER, "-quarter", Base::Fixed(crate::booster::SATURATED_AT)),
        ]
    }
}

/// How long and how large a measurement is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// The keys that have a provider, and as many that have none.
    pub(crate) keys: u64,
    /// For how long the server is frozen before anything is measured.
    pub(crate) frozen: Duration,
    /// The time of a stair of the staircase, and of it the part that is not judged.
    pub(crate) stair: [Duration; 2],
    /// The time of a step before it is measured, and while it is.
    pub(crate) step: [Duration; 2],
}

impl Scale {
    /// For the documentation.
    pub(crate) const FULL: Self = Self {
        keys: 1_000_000,
        frozen: Duration::from_secs(40),
        stair: [Duration::from_secs(2), Duration::from_secs(6)],
        step: [Duration::from_secs(4), Duration::from_secs(20)],
    };
    /// For development: below three minutes in all.
    pub(crate) const SHORT: Self = Self {
        keys: 200_000,
        frozen: Duration::from_secs(4),
        stair: [Duration::from_secs(1), Duration::from_secs(2)],
        step: [Duration::from_secs(1), Duration::from_secs(4)],
    };
}

//! What of the table may change while requests are judged.

use crate::config::{Config, Then};
use hydra_api::Rung;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

/// The values that a decision reads, each by itself: during a change a request may meet some old and some new ones.
#[derive(Debug)]
pub(crate) struct Live {
    read_cost: AtomicU32,
    write_cost: AtomicU32,
    loopback_exempt: AtomicBool,
    /// [`DECLINE`], or the index of a rung.
    then: AtomicU8,
}

const DECLINE: u8 = u8::MAX;

impl Live {
    pub(crate) fn new(config: &Config) -> Self {
        let live = Self {
            read_cost: AtomicU32::new(0),
            write_cost: AtomicU32::new(0),
            loopback_exempt: AtomicBool::new(false),
            then: AtomicU8::new(DECLINE),
        };
        live.set(config);
        live
    }

    pub(crate) fn set(&self, config: &Config) {
        self.read_cost.store(config.read_cost, Ordering::Relaxed);
        self.write_cost.store(config.write_cost, Ordering::Relaxed);
        self.loopback_exempt.store(config.loopback_exempt, Ordering::Relaxed);
        let then = match config.then {
            Then::Decline => DECLINE,
            Then::Degrade(rung) => rung.index() as u8,
        };
        self.then.store(then, Ordering::Relaxed);
    }

    pub(crate) fn read_cost(&self) -> u32 {
        self.read_cost.load(Ordering::Relaxed)
    }

    pub(crate) fn write_cost(&self) -> u32 {
        self.write_cost.load(Ordering::Relaxed)
    }

    pub(crate) fn loopback_exempt(&self) -> bool {
        self.loopback_exempt.load(Ordering::Relaxed)
    }

    pub(crate) fn then(&self) -> Then {
        let then = self.then.load(Ordering::Relaxed);
        Rung::ALL.get(usize::from(then)).map_or(Then::Decline, |rung| Then::Degrade(*rung))
    }
}

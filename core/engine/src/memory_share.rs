//! How much of their configured memory the caches and the write queue use.

use std::sync::atomic::{AtomicU8, Ordering};

/// The share of their configured memory that the caches and the write queue use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum MemoryShare {
    /// All of it.
    #[default]
    Full = 1,
    /// Half of it, for a process that is near its memory limit.
    Half = 2,
}

impl MemoryShare {
    /// So much of this.
    pub(crate) const fn of(self, configured: u64) -> u64 {
        configured / self as u64
    }

    /// So much of this, but at least one.
    pub(crate) fn of_len(self, configured: usize) -> usize {
        (configured / self as usize).max(1)
    }
}

/// A share that changes while it is read.
#[derive(Debug)]
pub(crate) struct CurrentShare(AtomicU8);

impl CurrentShare {
    pub(crate) fn get(&self) -> MemoryShare {
        if self.0.load(Ordering::Relaxed) == MemoryShare::Half as u8 {
            MemoryShare::Half
        } else {
            MemoryShare::Full
        }
    }

    /// Sets it; whether it was another one.
    pub(crate) fn set(&self, share: MemoryShare) -> bool {
        self.0.swap(share as u8, Ordering::Relaxed) != share as u8
    }
}

impl Default for CurrentShare {
    fn default() -> Self {
        Self(AtomicU8::new(MemoryShare::Full as u8))
    }
}

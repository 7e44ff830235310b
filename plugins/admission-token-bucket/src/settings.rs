//! The part of the config that a decision reads, replaced as a whole while requests are judged.
//!
//! The settings fit into a few words. They are kept twice: a change writes the copy that nobody reads and then makes it the
//! current one. A reader looks at the number of the change before and after it copies the words, and starts again when it
//! has moved; so it takes no lock, waits for nobody, and sees the old settings or the new ones, never some of each.

use crate::config::{Config, Then};
use crate::gcra::Rate;
use hydra_api::{Operation, Rung};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

const WORDS: usize = 4;
const PEER: usize = 0;
const PREFIX: usize = 1;
const NODE: usize = 2;
const REST: usize = 3;

/// Where each value of the last word begins. Costs are at most a million, which takes 20 bits.
const READ_COST: u32 = 0;
const WRITE_COST: u32 = 20;
const IPV4_BITS: u32 = 40;
const IPV6_BITS: u32 = 46;
const THEN: u32 = 54;
const LOOPBACK_EXEMPT: u32 = 58;

/// In the place of a rung's index.
const DECLINE: u64 = 15;

/// The settings of one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    words: [u64; WORDS],
    change: u64,
}

/// Names the settings by which a request was judged, for as long as there are few changes meanwhile.
pub(crate) type Mark = u16;

impl Settings {
    /// How many bits a mark has.
    pub(crate) const MARK_BITS: u32 = 15;

    pub(crate) const fn mark(&self) -> Mark {
        mark(self.change)
    }

    /// `None` when there is no budget for each peer.
    pub(crate) const fn peer(&self) -> Option<Rate> {
        Rate::unpacked(self.words[PEER])
    }

    /// `None` when there is no budget for each prefix.
    pub(crate) const fn prefix(&self) -> Option<Rate> {
        Rate::unpacked(self.words[PREFIX])
    }

    /// `None` when there is no budget for the node.
    pub(crate) const fn node(&self) -> Option<Rate> {
        Rate::unpacked(self.words[NODE])
    }

    pub(crate) const fn cost(&self, operation: Operation) -> u32 {
        match operation {
            Operation::GetProviders | Operation::GetValue => self.bits(READ_COST, 20) as u32,
            Operation::AddProvider | Operation::PutValue => self.bits(WRITE_COST, 20) as u32,
            // They do not cost the store.
            _ => 0,
        }
    }

    pub(crate) const fn ipv4_prefix_bits(&self) -> u32 {
        self.bits(IPV4_BITS, 6) as u32
    }

    pub(crate) const fn ipv6_prefix_bits(&self) -> u32 {
        self.bits(IPV6_BITS, 8) as u32
    }

    pub(crate) fn then(&self) -> Then {
        let rung = Rung::ALL.get(self.bits(THEN, 4) as usize);
        rung.map_or(Then::Decline, |rung| Then::Degrade(*rung))
    }

    pub(crate) const fn loopback_exempt(&self) -> bool {
        self.bits(LOOPBACK_EXEMPT, 1) == 1
    }

    const fn bits(&self, from: u32, len: u32) -> u64 {
        self.words[REST] >> from & ((1 << len) - 1)
    }
}

const fn mark(change: u64) -> Mark {
    change as Mark & ((1 << Settings::MARK_BITS) - 1)
}

/// The words of a config within its bounds.
fn words(config: &Config) -> [u64; WORDS] {
    let Config { peer, prefix, node, .. } = config;
    let rate = |enabled, rate_per_s, burst| if enabled { Rate::new(rate_per_s, burst).packed() } else { 0 };
    let then = match config.then {
        Then::Decline => DECLINE,
        Then::Degrade(rung) => rung.index() as u64,
    };
    let rest = u64::from(config.read_cost) << READ_COST
        | u64::from(config.write_cost) << WRITE_COST
        | u64::from(config.ipv4_prefix_bits) << IPV4_BITS
        | u64::from(config.ipv6_prefix_bits) << IPV6_BITS
        | then << THEN
        | u64::from(config.loopback_exempt) << LOOPBACK_EXEMPT;
    [
        rate(peer.enabled, peer.rate_per_s, peer.burst),
        rate(prefix.enabled, prefix.rate_per_s, prefix.burst),
        rate(node.enabled, node.rate_per_s, node.burst),
        rest,
    ]
}

/// Settings that change while threads read them.
#[derive(Debug)]
pub(crate) struct SharedSettings {
    /// How many changes there were. The copy of this one is at its lowest bit.
    change: AtomicU64,
    copies: [[AtomicU64; WORDS]; 2],
    changing: Mutex<()>,
}

impl SharedSettings {
    /// The settings of a config within its bounds.
    pub(crate) fn new(config: &Config) -> Self {
        let copy = || words(config).map(AtomicU64::new);
        Self { change: AtomicU64::new(0), copies: [copy(), copy()], changing: Mutex::new(()) }
    }

    /// Replaces them by those of a config within its bounds.
    pub(crate) fn set(&self, config: &Config) {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.change.load(Ordering::Relaxed) + 1;
        // Released word by word: a reader that sees one of them also sees that the copy is no longer the current one.
        for (shared, word) in self.copy(next).iter().zip(words(config)) {
            shared.store(word, Ordering::Release);
        }
        self.change.store(next, Ordering::Release);
    }

    /// The current settings.
    pub(crate) fn read(&self) -> Settings {
        let mut change = self.change.load(Ordering::Acquire);
        loop {
            let words = self.words(change);
            let now = self.change.load(Ordering::Acquire);
            if now == change {
                return Settings { words, change };
            }
            change = now;
        }
    }

    /// The settings that have this mark: the current ones or those before. `None` when they have been replaced twice.
    pub(crate) fn marked(&self, wanted: Mark) -> Option<Settings> {
        let now = self.change.load(Ordering::Acquire);
        let change = [now, now.wrapping_sub(1)].into_iter().find(|change| mark(*change) == wanted)?;
        let words = self.words(change);
        // Only the change after the next one writes to this copy.
        let is_whole = self.change.load(Ordering::Acquire).wrapping_sub(change) <= 1;
        is_whole.then_some(Settings { words, change })
    }

    fn words(&self, change: u64) -> [u64; WORDS] {
        self.copy(change).each_ref().map(|word| word.load(Ordering::Acquire))
    }

    const fn copy(&self, change: u64) -> &[AtomicU64; WORDS] {
        &self.copies[(change & 1) as usize]
    }
}

#[cfg(test)]
mod tests;

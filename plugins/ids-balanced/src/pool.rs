//! The search of derivation 2: one sequence of candidates for all heads of an era. A head is the first candidate that
//! lies in its window, whichever heads are searched for besides.

use crate::derivation::{ERA_BITS, era};
use crate::deriver::{Deriver, Head};
use crate::sequence::{self, Window};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

/// How many candidates are made at first; a quarter of as many as there are come after that.
const LEN_FIRST: usize = 1_024;
/// How many one thread makes at a time.
const CHUNK: usize = 64;

/// The number of a slot in its era.
fn in_era(slot: u32) -> u16 {
    (slot & ((1 << ERA_BITS) - 1)) as u16
}

/// Finds the heads of these slots and those that they follow from. What `known` has of them is taken if it fits.
/// `found` is told of each.
pub(crate) fn find(
    deriver: &Deriver,
    slots: &[u32],
    known: &dyn Fn(u32) -> Option<Head>,
    found: &dyn Fn(u32),
) -> BTreeMap<u32, Head> {
    let mut heads = BTreeMap::new();
    let eras: BTreeSet<u32> = slots.iter().map(|slot| era(*slot)).collect();
    for era in eras {
        let wanted = slots.iter().filter(|slot| self::era(**slot) == era).map(|slot| in_era(*slot));
        let mut search = Search { deriver, era, positions: BTreeMap::new(), heads: &mut heads, found };
        search.run(with_neighbours(wanted), known);
    }
    heads
}

/// All heads that these follow from, and themselves, in their order: each comes after its neighbours.
fn with_neighbours(heads: impl Iterator<Item = u16>) -> Vec<u16> {
    let (mut all, mut left) = (BTreeSet::new(), heads.collect::<Vec<u16>>());
    while let Some(head) = left.pop() {
        if all.insert(head) {
            left.extend(sequence::neighbours(head).into_iter().flatten());
        }
    }
    all.into_iter().collect()
}

struct Search<'a> {
    deriver: &'a Deriver,
    era: u32,
    /// Of the heads that were found.
    positions: BTreeMap<u16, u64>,
    heads: &'a mut BTreeMap<u32, Head>,
    found: &'a dyn Fn(u32),
}

impl Search<'_> {
    fn run(&mut self, wanted: Vec<u16>, known: &dyn Fn(u32) -> Option<Head>) {
        let mut missing = wanted;
        missing.retain(|head| {
            let known = known(self.slot(*head));
            !self.place(*head, |window| known.filter(|head| window.contains(head.position())))
        });
        if missing.is_empty() {
            return;
        }
        tracing::info!(
            heads = missing.len(),
            derivation = 2,
            "searching for balanced identities, which later starts reuse"
        );
        let (deriver, era) = (self.deriver, self.era);
        let (mut pool, mut len) = (Pool::default(), LEN_FIRST);
        while !missing.is_empty() {
            pool.grow(deriver, era, len);
            missing.retain(|head| {
                let slot = self.slot(*head);
                !self.place(*head, |window| deriver.head(slot, pool.first_in(window)?))
            });
            len += len / 4;
        }
    }

    /// Places a head if its neighbours are placed and `choose` has one for its window.
    fn place(&mut self, head: u16, choose: impl FnOnce(Window) -> Option<Head>) -> bool {
        let position = |it: u16| self.positions.get(&it).copied();
        let sides = match sequence::neighbours(head) {
            None => None,
            Some([left, right]) => match position(left).zip(position(right)) {
                Some((left, right)) => Some([left, right]),
                None => return false,
            },
        };
        let Some(chosen) = choose(sequence::window(head, sides)) else { return false };
        self.positions.insert(head, chosen.position());
        (self.found)(chosen.slot);
        self.heads.insert(chosen.slot, chosen);
        true
    }

    fn slot(&self, head: u16) -> u32 {
        (self.era << ERA_BITS) | u32::from(head)
    }
}

/// The first candidates of an era.
#[derive(Debug, Default)]
struct Pool {
    /// Position and number, in the order of positions.
    candidates: Vec<(u64, u32)>,
    len: usize,
}

impl Pool {
    /// Makes candidates on all cores until there are `len`.
    fn grow(&mut self, deriver: &Deriver, era: u32, len: usize) {
        let first = self.len;
        let mut positions = vec![None; len.saturating_sub(first)];
        let parts = Mutex::new(positions.chunks_mut(CHUNK).enumerate());
        let work = || {
            while let Some((part, places)) = { parts.lock().unwrap_or_else(PoisonError::into_inner).next() } {
                for (number, place) in (first + part * CHUNK..).zip(places) {
                    *place = deriver.position(era, number as u32);
                }
            }
        };
        on_all_cores(len.div_ceil(CHUNK), &work);
        let made = (first as u32..).zip(positions);
        self.candidates.extend(made.filter_map(|(number, position)| Some((position?, number))));
        self.candidates.sort_unstable();
        self.len = len;
    }

    /// The first candidate in a window.
    fn first_in(&self, window: Window) -> Option<u32> {
        let from = |position: u64| self.candidates.partition_point(|candidate| candidate.0 < position);
        let first = |part: &[(u64, u32)]| part.iter().map(|candidate| candidate.1).min();
        match window.start.checked_add(window.width) {
            Some(end) => first(&self.candidates[from(window.start)..from(end)]),
            // It goes on at the beginning of the ring.
            None => {
                let rest = &self.candidates[..from(window.start.wrapping_add(window.width))];
                [first(&self.candidates[from(window.start)..]), first(rest)].into_iter().flatten().min()
            }
        }
    }
}

/// Does so many parts of some work, side by side.
pub(crate) fn on_all_cores(parts: usize, work: &(dyn Fn() + Sync)) {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    std::thread::scope(|scope| {
        (1..cores.min(parts)).for_each(|_| drop(scope.spawn(work)));
        work();
    });
}

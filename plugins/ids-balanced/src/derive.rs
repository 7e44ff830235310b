//! From a seed and slots to identities.

use crate::deriver::{Deriver, Head, has_prefix};
use crate::pool::{self, on_all_cores};
use crate::{Derivation, Seed};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The heads of many slots, in their order, found on all cores. `progress` is told, from any thread, how many are
/// found. Blocks: call it from a thread that may.
pub fn derive_all(seed: &Seed, slots: &[u32], progress: &(dyn Fn(usize) + Sync)) -> Vec<Head> {
    let heads = find(&Deriver::new(seed), slots, &|_| None, progress);
    slots.iter().filter_map(|slot| heads.get(slot).cloned()).collect()
}

/// The heads of these slots, and of those that they follow from. What `known` has of them is taken if it fits.
pub(crate) fn find(
    deriver: &Deriver,
    slots: &[u32],
    known: &dyn Fn(u32) -> Option<Head>,
    progress: &(dyn Fn(usize) + Sync),
) -> BTreeMap<u32, Head> {
    match deriver.derivation() {
        Derivation::One => find_one(deriver, slots, known, progress),
        Derivation::Two => {
            let wanted: std::collections::BTreeSet<u32> = slots.iter().copied().collect();
            let done = AtomicUsize::new(0);
            pool::find(deriver, slots, known, &|slot| {
                if wanted.contains(&slot) {
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                }
            })
        }
    }
}

fn find_one(
    deriver: &Deriver,
    slots: &[u32],
    known: &dyn Fn(u32) -> Option<Head>,
    progress: &(dyn Fn(usize) + Sync),
) -> BTreeMap<u32, Head> {
    let fits = |head: &Head| has_prefix(head.position(), head.slot);
    let mut heads: BTreeMap<u32, Head> =
        slots.iter().filter_map(|slot| Some((*slot, known(*slot).filter(fits)?))).collect();
    let missing: Vec<u32> = slots.iter().copied().filter(|slot| !heads.contains_key(slot)).collect();
    if !heads.is_empty() {
        progress(heads.len());
    }
    if missing.is_empty() {
        return heads;
    }
    tracing::info!(
        heads = missing.len(),
        derivation = 1,
        "searching for balanced identities, which later starts reuse"
    );
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(heads.len()));
    let found: Vec<OnceLock<Head>> = missing.iter().map(|_| OnceLock::new()).collect();
    on_all_cores(missing.len(), &|| {
        while let Some((slot, place)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            missing.get(index).zip(found.get(index))
        } {
            place.get_or_init(|| deriver.search(*slot));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    });
    heads.extend(found.into_iter().filter_map(OnceLock::into_inner).map(|head| (head.slot, head)));
    heads
}

#[cfg(test)]
mod tests;

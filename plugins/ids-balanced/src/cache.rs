//! Which attempt found which head, so that the next start does not search again. No keys are in it: a head is
//! derived anew from the attempt, in microseconds, and must be the one it was.

use crate::derive::{Deriver, Head, derive_all};
use crate::{Seed, files};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

const VERSION: u32 = 1;

/// The file as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cached {
    version: u32,
    /// The fingerprint of the seed that the heads follow from.
    seed: String,
    /// By slot.
    heads: BTreeMap<u32, Found>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    attempt: u32,
    peer: String,
}

/// The heads of these slots, from the cache at `path` where it has them. Whether any had to be searched for is told
/// by the second value: then the file is worth writing.
pub(crate) fn heads(
    path: &Path,
    seed: &Seed,
    slots: &[u32],
    progress: &(dyn Fn(usize) + Sync),
) -> (Vec<Head>, Fresh) {
    let deriver = Deriver::new(seed);
    let fingerprint = deriver.fingerprint();
    // The file can be made again, so it is no error when it is damaged or of another seed.
    let cached = files::read::<Cached>(path, "").ok().flatten();
    let found = cached
        .filter(|cached| cached.version == VERSION && cached.seed == fingerprint)
        .map(|cached| cached.heads)
        .unwrap_or_default();
    let known: BTreeMap<u32, Head> =
        slots.iter().filter_map(|slot| Some((*slot, verified(&deriver, *slot, found.get(slot)?)?))).collect();
    let missing: Vec<u32> = slots.iter().copied().filter(|slot| !known.contains_key(slot)).collect();
    if !missing.is_empty() {
        tracing::info!(heads = missing.len(), "searching for balanced identities, once");
    }
    let known_len = known.len();
    if known_len > 0 {
        progress(known_len);
    }
    let searched = derive_all(seed, &missing, &|done| progress(known_len + done));
    let fresh = Fresh {
        cached: Cached { version: VERSION, seed: fingerprint, heads: found },
        any: !searched.is_empty(),
    };
    let mut heads: Vec<Head> = known.into_values().chain(searched).collect();
    heads.sort_by_key(|head| head.slot);
    let fresh = fresh.with(&heads);
    (heads, fresh)
}

/// What the cache should hold now.
#[derive(Debug)]
pub(crate) struct Fresh {
    cached: Cached,
    any: bool,
}

impl Fresh {
    fn with(mut self, heads: &[Head]) -> Self {
        for head in heads {
            self.cached.heads.insert(head.slot, Found { attempt: head.attempt, peer: base58(head) });
        }
        self
    }

    /// Writes the cache if there is anything new in it.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        if self.any { files::write(path, &self.cached) } else { Ok(()) }
    }
}

fn verified(deriver: &Deriver, slot: u32, found: &Found) -> Option<Head> {
    deriver.attempt(slot, found.attempt).filter(|head| base58(head) == found.peer)
}

/// The peer id as libp2p's tools show it.
fn base58(head: &Head) -> String {
    libp2p_identity::PeerId::from_bytes(head.peer.as_bytes()).map(|peer| peer.to_base58()).unwrap_or_default()
}

//! Which attempt found which head, so that the next start does not search again. No keys are in it: a head is
//! derived anew from the attempt, in microseconds, and must be the one it was.

use crate::derive;
use crate::deriver::{Deriver, Head};
use crate::{Seed, files};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The files of version 1 are of derivation 1, and do not name it. Those before version 3 are of the time when the default of
/// `port_base` was another.
const VERSION: u32 = 3;

/// Where the file is in the data directory.
pub(crate) const PATH: &str = "ids/heads.json";

/// The file as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cached {
    version: u32,
    #[serde(default = "derivation_of_version_1")]
    derivation: u32,
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

fn derivation_of_version_1() -> u32 {
    1
}

/// True if identities were found here before. A file that cannot be read may have had some.
pub(crate) fn has_heads(path: &Path) -> bool {
    match files::read::<Cached>(path, "") {
        Ok(cached) => cached.is_some_and(|cached| !cached.heads.is_empty()),
        Err(_) => true,
    }
}

/// Moves a file aside that cannot be read, and says so: it would be replaced. No identity depends on it.
pub(crate) fn set_aside_damaged(path: &Path) {
    let Err(cause) = files::read::<Cached>(path, "no identity depends on it") else { return };
    let aside = path.with_extension("json.damaged");
    match std::fs::rename(path, &aside) {
        Ok(()) => tracing::warn!(
            error = %cause, moved_to = %aside.display(),
            "the identities that were found before cannot be read and are moved aside, searching again"
        ),
        Err(error) => tracing::warn!(
            error = %cause, not_moved = %error,
            "the identities that were found before cannot be read, searching again"
        ),
    }
}

/// The slots that had identities before the default of `port_base` changed.
pub(crate) fn old_slots(path: &Path) -> Vec<u32> {
    let cached = files::read::<Cached>(path, "").ok().flatten();
    let old = cached.filter(|cached| cached.version < VERSION);
    old.map(|cached| cached.heads.into_keys().collect()).unwrap_or_default()
}

/// The heads of these slots, from the cache at `path` where it has them, and what the file should hold now.
pub(crate) fn heads(
    path: &Path,
    seed: &Seed,
    slots: &[u32],
    progress: &(dyn Fn(usize) + Sync),
) -> (Vec<Head>, Fresh) {
    let deriver = Deriver::new(seed);
    let (fingerprint, derivation) = (deriver.fingerprint(), deriver.derivation().number());
    // The file can be made again, so it is no error when it is damaged or of another seed.
    let cached = files::read::<Cached>(path, "").ok().flatten();
    let is_ours = |cached: &Cached| {
        (1..=VERSION).contains(&cached.version)
            && cached.derivation == derivation
            && cached.seed == fingerprint
    };
    let replaces_another = cached.as_ref().is_some_and(|cached| !is_ours(cached));
    let cached = cached.filter(is_ours);
    // What a file of the older kind gains does not make it a new one: `old_slots` goes by it.
    let version = cached.as_ref().map_or(VERSION, |cached| cached.version.max(2));
    let mut found = cached.map(|cached| cached.heads).unwrap_or_default();
    let known = |slot: u32| verified(&deriver, slot, found.get(&slot)?);
    let heads = derive::find(&deriver, slots, &known, progress);

    let mut any = false;
    for head in heads.values() {
        let new = Found { attempt: head.attempt, peer: base58(head) };
        any |= found.get(&head.slot) != Some(&new);
        found.insert(head.slot, new);
    }
    let cached = Cached { version, derivation, seed: fingerprint, heads: found };
    let wanted = slots.iter().filter_map(|slot| heads.get(slot).cloned()).collect();
    (wanted, Fresh { cached, any, replaces_another })
}

/// What the cache should hold now.
#[derive(Debug)]
pub(crate) struct Fresh {
    cached: Cached,
    any: bool,
    /// Whether the file is whole, and of another seed or derivation.
    replaces_another: bool,
}

impl Fresh {
    /// Writes the cache if there is anything new in it. The caller holds the lock on the directory.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        if self.replaces_another {
            tracing::warn!(
                file = %path.display(),
                "the seed is another one than that of the last start: all heads have other identities now"
            );
        }
        if self.any { files::write(path, &self.cached) } else { Ok(()) }
    }

    /// The same without the lock: beside a process that may write the file too, whose own it may be.
    pub(crate) fn write_beside(&self, path: &Path) -> io::Result<()> {
        if self.any && !self.replaces_another { files::write_beside(path, &self.cached) } else { Ok(()) }
    }
}

fn verified(deriver: &Deriver, slot: u32, found: &Found) -> Option<Head> {
    deriver.head(slot, found.attempt).filter(|head| base58(head) == found.peer)
}

/// The peer id as libp2p's tools show it.
fn base58(head: &Head) -> String {
    libp2p_identity::PeerId::from_bytes(head.peer.as_bytes()).map(|peer| peer.to_base58()).unwrap_or_default()
}

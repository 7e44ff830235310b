//! What a seed gives can never change again: the identities of every fleet follow from it. `vectors.json` has peer ids by
//! derivation, seed and slot. A change of the code that changes one of them needs another derivation, and vectors for it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use hydra_ids_balanced::{Derivation, Head, Seed, derive_all};
use std::collections::{BTreeMap, BTreeSet};

/// By the text of the seed and by slot.
type Vectors = BTreeMap<String, BTreeMap<u32, String>>;

#[test]
fn i1_a_seed_gives_these_identities_for_ever() {
    let expected: Vectors = serde_json::from_str(include_str!("vectors.json")).unwrap();
    let mut derivations = BTreeSet::new();
    let found: Vectors = expected
        .iter()
        .map(|(text, expected)| {
            let seed = Seed::parse(text).unwrap();
            derivations.insert(seed.derivation());
            let slots: Vec<u32> = expected.keys().copied().collect();
            let heads = derive_all(&seed, &slots, &|_| ());
            (text.clone(), heads.iter().map(|head| (head.slot, base58(head))).collect())
        })
        .collect();
    assert_eq!(derivations, BTreeSet::from([Derivation::One, Derivation::Two]), "each has vectors");
    assert!(found == expected, "{}", serde_json::to_string_pretty(&found).unwrap());
}

fn base58(head: &Head) -> String {
    libp2p_identity::PeerId::from_bytes(head.peer.as_bytes()).unwrap().to_base58()
}

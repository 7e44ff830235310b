use super::*;
use crate::deriver::prefix;
use std::collections::HashMap;

const DERIVATIONS: [Derivation; 2] = [Derivation::One, Derivation::Two];

fn seed(byte: u8, derivation: Derivation) -> Seed {
    Seed::from_bytes([byte; 32], derivation)
}

fn first(byte: u8, derivation: Derivation, heads: u32) -> Vec<Head> {
    derive_all(&seed(byte, derivation), &(0..heads).collect::<Vec<_>>(), &|_| ())
}

#[test]
fn prefixes_come_in_the_order_of_van_der_corput() {
    let eighths: Vec<u16> = (0..8).map(|slot| prefix(slot) >> 13).collect();
    assert_eq!(eighths, [0b000, 0b100, 0b010, 0b110, 0b001, 0b101, 0b011, 0b111]);
    assert_eq!(prefix(1_024), prefix(0), "after every prefix was had, they come again");
}

/// Ten bits of derivation 1 (six are looked at), five of derivation 2.
#[test]
fn consecutive_slots_are_balanced_under_every_prefix() {
    for (derivation, bits_max) in [(Derivation::One, 6), (Derivation::Two, 5)] {
        let heads = first(7, derivation, 70);
        for (from, to) in
            (0..=70).flat_map(|to| [0, 17, 40].map(|from| (from, to))).filter(|(from, to)| from < to)
        {
            for bits in 1..=bits_max {
                let mut under: HashMap<u64, i32> = (0..1 << bits).map(|prefix| (prefix, 0)).collect();
                for head in &heads[from..to] {
                    *under.entry(head.position() >> (64 - bits)).or_insert(0) += 1;
                }
                let (least, most) = (under.values().min(), under.values().max());
                assert!(
                    most.unwrap() - least.unwrap() <= 1,
                    "heads {from} to {to} under {bits} bits: {under:?}"
                );
            }
        }
    }
}

/// The largest gap between neighbours over the ideal one, at the worst of all sizes up to that of `heads`.
fn worst_gap(heads: &[Head]) -> (f64, usize) {
    let mut ring = std::collections::BTreeSet::new();
    let mut gaps: BTreeMap<u128, usize> = BTreeMap::new();
    let mut worst = (0.0, 0);
    for (count, head) in (1_usize..).zip(heads) {
        let here = head.position();
        let left = ring.range(..here).next_back().or(ring.last()).copied();
        let right = ring.range(here..).next().or(ring.first()).copied();
        let ring_len = 1_u128 << 64;
        let gap = |from: u64, to: u64| match to.wrapping_sub(from) {
            0 => ring_len,
            gap => u128::from(gap),
        };
        match left.zip(right) {
            None => *gaps.entry(ring_len).or_default() += 1,
            Some((left, right)) => {
                let divided = gaps.get_mut(&gap(left, right)).unwrap();
                *divided -= 1;
                gaps.retain(|_, count| *count > 0);
                *gaps.entry(gap(left, here)).or_default() += 1;
                *gaps.entry(gap(here, right)).or_default() += 1;
            }
        }
        ring.insert(here);
        let ratio = *gaps.last_key_value().unwrap().0 as f64 / (ring_len as f64 / count as f64);
        if ratio > worst.0 {
            worst = (ratio, count);
        }
    }
    worst
}

#[test]
fn no_gap_is_longer_than_twice_the_ideal_one_at_any_size() {
    for byte in [7, 8] {
        let heads = first(byte, Derivation::NEWEST, 2_100);
        let (worst, size) = worst_gap(&heads);
        assert!(worst <= 2.0, "seed {byte}: {worst} at {size} heads");
        // The search is over with the last attempt that is taken. Derivation 1 makes 1,024 for each head.
        for size in [10, 100, 1_000, 2_000] {
            let attempts = heads[..size].iter().map(|head| head.attempt as usize + 1).max().unwrap();
            assert!(attempts <= 2 * 1_024 * size, "seed {byte}: {attempts} attempts for {size} heads");
        }
    }
}

#[test]
fn any_slot_is_found_without_the_others() {
    for derivation in DERIVATIONS {
        let seed = seed(7, derivation);
        let among = first(7, derivation, 100);
        for slots in [&[5][..], &[99, 40], &[7, 70, 8]] {
            let found = derive_all(&seed, slots, &|_| ());
            assert_eq!(found.iter().map(|head| head.slot).collect::<Vec<_>>(), slots);
            for head in found {
                let same = &among[head.slot as usize];
                assert_eq!((head.peer, head.attempt), (same.peer, same.attempt), "{derivation:?}");
            }
        }
    }
}

#[test]
fn heads_of_later_eras_have_identities_of_their_own() {
    let seed = seed(7, Derivation::Two);
    let heads = derive_all(&seed, &[0, 1, 1 << 16, (1 << 16) + 1], &|_| ());
    let peers: std::collections::BTreeSet<_> = heads.iter().map(|head| head.peer).collect();
    assert_eq!(peers.len(), 4);
    assert_eq!(heads[0].position() >> 53, heads[2].position() >> 53, "they begin as those of the first");
}

#[test]
fn i5_the_peer_id_is_the_one_that_libp2p_makes_of_the_key() {
    for derivation in DERIVATIONS {
        let head = &derive_all(&seed(9, derivation), &[2], &|_| ())[0];
        let keypair = libp2p_identity::Keypair::ed25519_from_bytes(*head.identity.ed25519_seed()).unwrap();
        assert_eq!(keypair.public().to_peer_id().to_bytes(), head.peer.as_bytes());
    }
}

#[test]
fn progress_is_told_once_for_every_head() {
    for derivation in DERIVATIONS {
        let told = AtomicUsize::new(0);
        derive_all(&seed(7, derivation), &[0, 1, 2, 40], &|done| {
            assert!(done <= 4);
            told.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(told.into_inner(), 4);
    }
}

//! What it costs to find heads for the first time.

use divan::{Bencher, counter::ItemsCount};
use hydra_ids_balanced::{Derivation, Seed, derive_all};

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 5, sample_size = 1, args = [1, 2])]
fn heads(bencher: Bencher<'_, '_>, derivation: u32) {
    let slots: Vec<u32> = (0..200).collect();
    let derivation = if derivation == 1 { Derivation::One } else { Derivation::Two };
    let seed = Seed::from_bytes([7; 32], derivation);
    bencher.counter(ItemsCount::new(slots.len())).bench(|| derive_all(&seed, &slots, &|_| ()));
}

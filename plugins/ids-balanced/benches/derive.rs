//! What it costs to find heads for the first time.

use divan::{Bencher, counter::ItemsCount};
use hydra_ids_balanced::{Seed, derive_all};

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn heads(bencher: Bencher<'_, '_>) {
    let slots: Vec<u32> = (0..200).collect();
    let seed = Seed::from_bytes([7; 32]);
    bencher.counter(ItemsCount::new(slots.len())).bench(|| derive_all(&seed, &slots, &|_| ()));
}

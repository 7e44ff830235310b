//! How evenly heads lie and what the search for them costs, by derivation and number of heads:
//! `cargo bench -p hydra-ids-balanced --bench spread`.
//!
//! The gap is the largest one between neighbours over the ideal one: at this number of heads, and at the worst number up to
//! it, as the largest of one to three seeds.

#![expect(clippy::print_stdout, reason = "a bench tells what it has measured")]

use hydra_ids_balanced::{Derivation, Head, Seed, derive_all};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const SEEDS: [u8; 3] = [7, 8, 9];
/// Of Linux: the unit of the times in /proc.
const TICKS_PER_S: f64 = 100.0;

fn main() {
    println!("derivation     heads   CPU, s   clock, s   gap here   worst gap (at heads)");
    for derivation in [Derivation::One, Derivation::Two] {
        // The search of derivation 1 grows with the number of heads alone.
        let sizes: &[u32] = match derivation {
            Derivation::One => &[1, 10, 100, 1_000, 2_015],
            Derivation::Two => &[1, 10, 100, 1_000, 2_015, 10_000],
        };
        for size in sizes {
            measure(derivation, &(0..*size).collect::<Vec<_>>());
        }
    }
    println!("100 heads of derivation 2 from a slot on:");
    for first in [2_000, 10_000] {
        let slots: Vec<u32> = (first..first + 100).collect();
        let (cpu, clock, _) = timed(&Seed::from_bytes([7; 32], Derivation::Two), &slots);
        println!("{first:>20} {cpu:>8.2} {:>10.2}", clock.as_secs_f64());
    }
}

fn measure(derivation: Derivation, slots: &[u32]) {
    // What takes long is measured with one seed.
    let is_long = slots.len() > if derivation == Derivation::One { 500 } else { 3_000 };
    let seeds = if is_long { &SEEDS[..1] } else { &SEEDS[..] };
    let (mut cpu_sum, mut clock_sum) = (0.0, Duration::ZERO);
    let (mut here, mut worst) = (0.0_f64, (0.0_f64, 0));
    for byte in seeds {
        let (cpu, clock, heads) = timed(&Seed::from_bytes([*byte; 32], derivation), slots);
        (cpu_sum, clock_sum) = (cpu_sum + cpu, clock_sum + clock);
        let gaps = gaps(&heads);
        here = here.max(gaps.last().copied().unwrap_or_default());
        for (size, gap) in (1..).zip(gaps) {
            if gap > worst.0 {
                worst = (gap, size);
            }
        }
    }
    let runs = seeds.len() as f64;
    println!(
        "{derivation:>10} {:>9} {:>8.2} {:>10.2} {here:>10.2} {:>11.3} ({})",
        slots.len(),
        cpu_sum / runs,
        clock_sum.as_secs_f64() / runs,
        worst.0,
        worst.1
    );
}

fn timed(seed: &Seed, slots: &[u32]) -> (f64, Duration, Vec<Head>) {
    let (cpu, clock) = (cpu_s(), Instant::now());
    let heads = derive_all(seed, slots, &|_| ());
    (cpu_s() - cpu, clock.elapsed(), heads)
}

/// The CPU time of this process so far; nought where the system does not tell.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in parentheses, may hold spaces.
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let ticks = rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_S
}

/// The largest gap over the ideal one after each head.
fn gaps(heads: &[Head]) -> Vec<f64> {
    let mut ring = BTreeSet::new();
    let mut lengths: BTreeMap<u128, u32> = BTreeMap::new();
    let mut add = |length: u128, change: i32| {
        let count = lengths.entry(length).or_default();
        *count = count.saturating_add_signed(change);
        if *count == 0 {
            lengths.remove(&length);
        }
        lengths.last_key_value().map_or(0, |(length, _)| *length)
    };
    let (mut ratios, whole) = (Vec::new(), 1_u128 << 64);
    let length = |from: u64, to: u64| if from == to { whole } else { u128::from(to.wrapping_sub(from)) };
    for (count, head) in (1_u32..).zip(heads) {
        let id = Sha256::digest(head.peer.as_bytes());
        let here = u64::from_be_bytes(std::array::from_fn(|place| id[place]));
        let left = ring.range(..here).next_back().or(ring.last()).copied();
        let right = ring.range(here..).next().or(ring.first()).copied();
        let largest = match left.zip(right) {
            None => add(whole, 1),
            Some((left, right)) => {
                add(length(left, right), -1);
                add(length(left, here), 1);
                add(length(here, right), 1)
            }
        };
        ring.insert(here);
        ratios.push(largest as f64 * f64::from(count) / whole as f64);
    }
    ratios
}

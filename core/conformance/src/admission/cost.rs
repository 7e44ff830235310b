//! Cases on memory and time: A2, A3.

use super::{Gate, address, some_time};
use crate::check::{Broken, Kept, Outcome, ensure};
use crate::given::peer;
use crate::place::Lab;
use hydra_api::{Admission, Outcome as Ended, Rung};
use stats_alloc::INSTRUMENTED_SYSTEM;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MILLION: u64 = 1_000_000;

/// Asks for `count` peers never seen before, each at an address of its own, and settles what is admitted.
fn crowd(gate: &Gate, from: u64, count: u64, now: Instant) {
    for number in from..from + count {
        let now = now + Duration::from_micros(10 * number);
        if let Some(token) = gate.admit(number, now) {
            let took = Duration::from_millis(1);
            gate.settle(number, token, Ended::Served { rung: Rung::Full, took }, now);
        }
    }
}

pub(super) async fn a2_a_million_peers_leave_memory_flat(lab: Arc<Lab<Admission>>) -> Outcome {
    // Counted to the byte it may grow by nothing but noise; the size of the process is known by pages only.
    let (size, grown_max): (fn() -> Option<u64>, u64) =
        if allocations_count() { (bytes_held, 64 << 10) } else { (resident_bytes, 8 << 20) };
    let gate = Gate::open(&lab).await?;
    let now = some_time();
    crowd(&gate, 0, MILLION / 10, now);
    let Some(before) = size() else {
        return Ok(Kept::NotApplicable("the size of the process is not known on this system"));
    };
    crowd(&gate, MILLION / 10, MILLION, now);
    let grown = size().unwrap_or(u64::MAX).saturating_sub(before);
    ensure!(grown <= grown_max, "a million peers made it grow by {grown} bytes");
    Ok(Kept::Shown)
}

pub(super) async fn a3_a_decision_allocates_nothing(lab: Arc<Lab<Admission>>) -> Outcome {
    const TRIES: usize = 5;
    if !allocations_count() {
        return Ok(Kept::NotApplicable(
            "allocations do not count: call hydra_conformance::count_allocations!()",
        ));
    }
    let gate = Gate::open(&lab).await?;
    let now = some_time();
    let peers: Vec<_> = (0..1000).map(|number| (peer(number), address(number))).collect();
    let mut fewest = usize::MAX;
    // Other threads of the process may allocate meanwhile, but not each time.
    for _ in 0..TRIES {
        let before = INSTRUMENTED_SYSTEM.stats();
        for (number, (peer, address)) in peers.iter().enumerate() {
            // Peers that are new, peers that are known, peers that are declined.
            for _ in 0..5 {
                if let Some(token) = gate.admit_from(*peer, *address, now).filter(|_| number % 2 == 0) {
                    gate.settle(number as u64, token, Ended::NeverStarted, now);
                }
            }
        }
        let after = INSTRUMENTED_SYSTEM.stats();
        let made = after.allocations + after.reallocations - before.allocations - before.reallocations;
        fewest = fewest.min(made);
    }
    ensure!(fewest == 0, "5,000 decisions made {fewest} allocations");
    Ok(Kept::Shown)
}

pub(super) async fn a3_a_decision_costs_the_same_after_a_million_peers(lab: Arc<Lab<Admission>>) -> Outcome {
    const ROUNDS: u64 = 50;
    const ASKED: u64 = 1000;
    /// The fastest of many rounds over the same thousand peers.
    fn fastest(gate: &Gate, now: Instant) -> Result<Duration, Broken> {
        let peers: Vec<_> = (0..ASKED).map(|number| (peer(number), address(number))).collect();
        let round = || {
            let begun = Instant::now();
            peers.iter().for_each(|(peer, address)| _ = gate.admit_from(*peer, *address, now));
            begun.elapsed()
        };
        (0..ROUNDS).map(|_| round()).min().ok_or_else(|| Broken::new("nothing was measured"))
    }
    let gate = Gate::open(&lab).await?;
    let now = some_time();
    let before = fastest(&gate, now)?;
    crowd(&gate, ASKED, MILLION, now);
    let after = fastest(&gate, now)?;
    ensure!(
        after <= before.max(Duration::from_micros(20)) * 20,
        "{ASKED} decisions took {before:?} at first, and {after:?} after a million peers"
    );
    Ok(Kept::Shown)
}

/// Whether the test binary has made its allocations count.
fn allocations_count() -> bool {
    let before = INSTRUMENTED_SYSTEM.stats().allocations;
    drop(std::hint::black_box(Box::new(before)));
    INSTRUMENTED_SYSTEM.stats().allocations != before
}

fn bytes_held() -> Option<u64> {
    let stats = INSTRUMENTED_SYSTEM.stats();
    // What reallocations add and take is part of both.
    let held = stats.bytes_allocated as i128 - stats.bytes_deallocated as i128;
    u64::try_from(held).ok()
}

fn resident_bytes() -> Option<u64> {
    const PAGE: u64 = 4096;
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    pages.split_whitespace().nth(1)?.parse::<u64>().ok().map(|pages| pages * PAGE)
}

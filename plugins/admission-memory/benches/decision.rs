//! What a decision costs.

use divan::{Bencher, black_box};
use hydra_admission_memory::{Config, Memory};
use hydra_api::{AdmissionPolicy, Load, Operation, PeerId, Request};
use std::time::Instant;

fn main() {
    divan::main();
}

/// With so many MiB as the limit: all of the machine's, or much less than the process has.
#[divan::bench(args = [0, 1], sample_count = 200, sample_size = 10_000)]
fn admit(bencher: Bencher<'_, '_>, limit_mib: u32) {
    let policy = Memory::new(Config { limit_mib, ..Config::default() });
    let (Ok(policy), Ok(peer)) = (policy, PeerId::new(b"peer")) else { return };
    let request = Request::new(Operation::GetProviders, peer, None, 0, b"key");
    let now = Instant::now();
    bencher.bench_local(|| black_box(policy.admit(black_box(&request), &Load::IDLE, now)));
}

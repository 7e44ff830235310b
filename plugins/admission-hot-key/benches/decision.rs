//! What a decision costs with the default table, by how many keys are asked for.

use divan::{Bencher, black_box};
use hydra_admission_hot_key::{Config, HotKey};
use hydra_api::admission::Level;
use hydra_api::{AdmissionPolicy, Load, Operation, Outcome, PeerId, Request, Rung};
use std::time::{Duration, Instant};

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 1_000, 1_000_000], sample_count = 200, sample_size = 10_000)]
fn read(bencher: Bencher<'_, '_>, keys: u64) {
    in_turn(bencher, keys, Operation::GetProviders, |policy, request, now| {
        black_box(policy.admit(request, &Load::IDLE, now));
    });
}

#[divan::bench(args = [1, 1_000], sample_count = 200, sample_size = 10_000)]
fn read_from_the_cache(bencher: Bencher<'_, '_>, keys: u64) {
    let served = Outcome::Served { rung: Rung::Full, took: Duration::ZERO };
    in_turn(bencher, keys, Operation::GetProviders, |policy, request, now| {
        let judged = black_box(policy.admit(request, &Load::IDLE, now));
        policy.settle(request, judged.token, &served, now);
    });
}

#[divan::bench(args = [1, 1_000, 1_000_000], sample_count = 200, sample_size = 10_000)]
fn announcement(bencher: Bencher<'_, '_>, keys: u64) {
    let busy = Load::new(
        Level { used: 1, max: 2 },
        Level { used: 0, max: 1 },
        Level { used: 1, max: 2 },
        Rung::Full,
    );
    in_turn(bencher, keys, Operation::AddProvider, |policy, request, now| {
        black_box(policy.admit(request, &busy, now));
    });
}

/// Requests for so many keys, one after another, each of another peer.
fn in_turn(
    bencher: Bencher<'_, '_>,
    keys: u64,
    operation: Operation,
    ask: impl Fn(&HotKey, &Request<'_>, Instant),
) {
    let Ok(policy) = HotKey::new(Config::default()) else { return };
    let (mut now, mut number, mut key, mut peer) = (Instant::now(), 0_u64, [7; 34], [7; 38]);
    bencher.bench_local(|| {
        now += Duration::from_micros(20);
        number += 1;
        key[..8].copy_from_slice(&(number % keys).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
        peer[..8].copy_from_slice(&number.to_be_bytes());
        let Ok(peer) = PeerId::new(&peer) else { return };
        ask(&policy, &Request::new(operation, peer, None, 0, &key), now);
    });
}

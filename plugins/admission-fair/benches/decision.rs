//! What a decision costs with the default table, by how many peers ask and whether the node is pressed.

use divan::{Bencher, black_box};
use hydra_admission_fair::{Config, Fair};
use hydra_api::admission::Level;
use hydra_api::{AdmissionPolicy, Load, Operation, Outcome, PeerId, Request, Rung};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

fn main() {
    divan::main();
}

fn peers(len: u32) -> Vec<(PeerId, IpAddr)> {
    (0..len)
        .map(|id| {
            // As long as an Ed25519 id; neighbours in the sequence have nothing else in common.
            let mut bytes = [0; 38];
            bytes[..4].copy_from_slice(&id.wrapping_mul(0x9E37_79B9).to_be_bytes());
            let address = Ipv4Addr::from_bits(0x0B00_0000 | id.wrapping_mul(0x85EB_CA6B) >> 8);
            (PeerId::new(&bytes).unwrap_or_else(|_| unreachable!("38 bytes are a peer id")), address.into())
        })
        .collect()
}

/// A queue of writes that is so full, in percent.
fn pressed(percent: u32) -> Load {
    let idle = Level { used: 0, max: 1 };
    Load::new(Level { used: percent, max: 100 }, idle, idle, Rung::Full)
}

#[divan::bench(args = [1, 1_000, 1_000_000], sample_count = 200, sample_size = 10_000)]
fn admit(bencher: Bencher<'_, '_>, len: u32) {
    in_turn(bencher, len, |policy, request, now| {
        black_box(policy.admit(request, &Load::IDLE, now));
    });
}

#[divan::bench(args = [1_000, 1_000_000], sample_count = 200, sample_size = 10_000)]
fn admit_under_pressure(bencher: Bencher<'_, '_>, len: u32) {
    let load = pressed(30);
    in_turn(bencher, len, |policy, request, now| {
        black_box(policy.admit(request, &load, now));
    });
}

#[divan::bench(args = [1, 1_000, 1_000_000], sample_count = 200, sample_size = 10_000)]
fn admit_and_give_back(bencher: Bencher<'_, '_>, len: u32) {
    in_turn(bencher, len, |policy, request, now| {
        let judged = black_box(policy.admit(request, &Load::IDLE, now));
        policy.settle(request, judged.token, &Outcome::NeverStarted, now);
    });
}

/// Announcements of so many peers, one after another.
fn in_turn(bencher: Bencher<'_, '_>, len: u32, ask: impl Fn(&Fair, &Request<'_>, Instant)) {
    let peers = peers(len);
    let Ok(policy) = Fair::new(Config::default()) else { return };
    let mut now = Instant::now();
    let mut peers = peers.iter().cycle();
    bencher.bench_local(|| {
        now += Duration::from_micros(20);
        if let Some(&(peer, address)) = peers.next() {
            ask(&policy, &Request::new(Operation::AddProvider, peer, Some(address), 0, b"key"), now);
        }
    });
}

#[divan::bench(sample_count = 200, sample_size = 10_000)]
fn decline(bencher: Bencher<'_, '_>) {
    let peers = peers(1);
    let config = Config { share_per_s_min: 1, share_per_s_max: 1, ..Config::default() };
    let Ok(policy) = Fair::new(config) else { return };
    let (now, load) = (Instant::now(), pressed(30));
    let request = Request::new(Operation::AddProvider, peers[0].0, Some(peers[0].1), 0, b"key");
    while policy.admit(&request, &load, now).verdict == hydra_api::Verdict::Admit {}
    bencher.bench_local(|| black_box(policy.admit(black_box(&request), &load, now)));
}

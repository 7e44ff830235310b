//! The closer peers of an answer, from a table as large as the public network's.

use divan::{Bencher, black_box};
use hydra_node::address::AddressPolicy;
use hydra_node::kad_id::KadId;
use hydra_node::table::{Limits, Table};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use std::net::Ipv4Addr;
use std::time::Instant;

fn main() {
    divan::main();
}

/// As the defaults are, but without a limit per bucket: as many peers as asked for.
const LIMITS: Limits = Limits {
    len_max: 100_000,
    bucket_len_max: usize::MAX,
    bucket_group_len_max: usize::MAX,
    group_len_max: 3,
    group_own_max: 2,
};

/// A table of so many peers, as far as the diversity rule lets them in, each with three addresses.
fn table(count: u32) -> Table {
    let table = Table::new(AddressPolicy::Any, LIMITS);
    table.set_own(PeerId::random(), &addresses(Ipv4Addr::LOCALHOST), Instant::now());
    for nth in 0..count {
        // Spread over the networks of the public address space.
        let ip = Ipv4Addr::from((nth.wrapping_mul(0x9e37_79b9) >> 1) | 0x2000_0000);
        let _refused =
            table.insert(PeerId::random(), &addresses(ip), Some(ip.into()), Instant::now()).is_err();
    }
    table
}

fn addresses(ip: Ipv4Addr) -> Vec<Multiaddr> {
    (4001..4004).map(|port| Multiaddr::from(ip).with(Protocol::Tcp(port))).collect()
}

/// The 20 closest, thinned by the diversity rule; to be under 2 µs at 10,000 peers.
#[divan::bench(args = [1_000, 10_000])]
fn closest_20(bencher: Bencher, peers: u32) {
    let table = table(peers);
    let targets: Vec<_> = (0..1024u32).map(|seed| KadId::of_key(&seed.to_be_bytes())).collect();
    let mut next = targets.iter().cycle();
    bencher
        .bench_local(|| next.next().map(|target| table.snapshot().closest(black_box(target), 20, |_| false)));
}

//! The rules of an admission policy, put to each of the three budgets and to all of them together.

use hydra_admission_token_bucket::{Config, Node, Peer, Prefix, TokenBucket};
use hydra_conformance::{Place, Suite, admission, run};
use std::process::ExitCode;

hydra_conformance::count_allocations!();

/// Of each budget its burst; 0 for none.
fn suite(name: &str, peer: u32, prefix: u32, node: u32) -> Suite {
    let config = Config {
        peer: Peer { enabled: peer > 0, rate_per_s: 10, burst: peer.max(1) },
        prefix: Prefix { enabled: prefix > 0, rate_per_s: 10, burst: prefix.max(1) },
        node: Node { enabled: node > 0, rate_per_s: 10, burst: node.max(1) },
        ..Config::default()
    };
    admission::<TokenBucket, _, _>(move || {
        let place = Place::of(config.clone());
        async { place }
    })
    .named(name)
}

fn main() -> ExitCode {
    run([
        suite("peer", 100, 0, 0),
        suite("prefix", 0, 100, 0),
        suite("node", 0, 0, 100),
        suite("all", 80, 90, 1_000),
    ])
}

//! The hot path: a decision by three policies, and a decline.

use divan::{Bencher, black_box};
use hydra_api::{
    AdmissionPolicy, Judgement, Load, Operation, Outcome, PeerId, ReasonId, Request, Rung, Token, Verdict,
};
use hydra_engine::{Chain, NamedPolicy, PolicyMode};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn main() {
    divan::main();
}

/// A policy as cheap as one can be: it measures the chain, not itself.
#[derive(Debug, Default)]
struct Counting {
    taken: AtomicU64,
    declines: bool,
}

impl AdmissionPolicy for Counting {
    fn admit(&self, _request: &Request<'_>, load: &Load, _now: Instant) -> Judgement {
        if self.declines || load.write_queue.percent() == 100 {
            return Verdict::Decline(ReasonId(0)).into();
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        Verdict::Admit.into()
    }

    fn settle(&self, _: &Request<'_>, _: Token, _: &Outcome, _: Instant) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }

    fn reasons(&self) -> Vec<Cow<'static, str>> {
        vec!["bench".into()]
    }
}

fn chain(declines: [bool; 3]) -> Chain {
    let named = |declines| NamedPolicy {
        name: "counting".to_owned(),
        mode: PolicyMode::Enforce,
        policy: Arc::new(Counting { declines, ..Counting::default() }) as Arc<dyn AdmissionPolicy>,
    };
    Chain::new(declines.map(named).into())
}

fn request(key: &[u8]) -> Request<'_> {
    let peer = PeerId::new(&[7; 38]).expect("38 bytes are a peer id");
    Request::new(Operation::GetProviders, peer, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), 0, key)
}

/// Admit and settle with three policies; to be under 200 ns.
#[divan::bench]
fn three_policies_admit_and_settle(bencher: Bencher) {
    let chain = chain([false; 3]);
    let (request, now) = (request(&[1; 34]), Instant::now());
    let outcome = Outcome::Served { rung: Rung::Full, took: Duration::ZERO };
    bencher.bench_local(|| {
        let request = black_box(request);
        let mut ticket = chain.ticket(&request, now);
        if ticket.admit(&Load::IDLE).is_ok() {
            ticket.settle(&outcome, now);
        }
    });
}

/// The first policy declines; to be about 20 ns.
#[divan::bench]
fn first_policy_declines(bencher: Bencher) {
    let chain = chain([true, false, false]);
    let (request, now) = (request(&[1; 34]), Instant::now());
    bencher.bench_local(|| {
        let request = black_box(request);
        chain.ticket(&request, now).admit(&Load::IDLE).is_err()
    });
}

/// The last policy declines: two get back what they took.
#[divan::bench]
fn last_policy_declines(bencher: Bencher) {
    let chain = chain([false, false, true]);
    let (request, now) = (request(&[1; 34]), Instant::now());
    bencher.bench_local(|| {
        let request = black_box(request);
        chain.ticket(&request, now).admit(&Load::IDLE).is_err()
    });
}

//! What others keep of their goodput beside a giant, on virtual time and with fixed seeds.
//!
//! The store serves [`CAPACITY`] reads and as many writes a second. The node is a model of hydra's: a queue of
//! writes, a line of reads that wait 20 ms at most, and the rungs that it takes by itself.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "a simulation says what it has found")]

mod node;

use hydra_admission_fair::{Config, Fair};
use hydra_api::Operation;
use node::{Node, Source, Took};

/// Requests of each kind that the store serves in a second.
const CAPACITY: u32 = 10_000;

/// How long each simulation runs, in milliseconds of virtual time.
const RUN_MS: u64 = 20_000;

const KINDS: [Operation; 2] = [Operation::AddProvider, Operation::GetProviders];

/// Who asks, each so often a second.
#[derive(Clone)]
struct Crowd(Vec<Source>);

impl Crowd {
    /// Peers in a network of their own each.
    fn apart(len: u32, per_s: f64) -> Self {
        Self((0..len).map(|number| Source::new(number, 0x0B00_0000 + (number << 8), per_s)).collect())
    }

    /// One more peer, in a network of its own.
    fn and_giant(mut self, per_s: f64) -> Self {
        self.0.push(Source::new(1_000_000, 0x5000_0001, per_s));
        self
    }

    /// So many more peers, all in one /24.
    fn and_network(mut self, len: u32, per_s: f64) -> Self {
        self.0.extend(
            (0..len).map(|number| Source::new(2_000_000 + number, 0x6000_0000 + number % 256, per_s)),
        );
        self
    }
}

/// What the first `others` of a crowd got of what they asked for, and what the rest got a second, with the policy and
/// without.
fn run(operation: Operation, crowd: &Crowd, others: usize) -> [(f64, f64); 2] {
    [Some(Config::default()), None].map(|config| {
        let policy = config.map(|config| Fair::new(config).unwrap());
        let took = Node::new(CAPACITY, policy).run(operation, &crowd.0, RUN_MS);
        let sum =
            |part: &[Took]| part.iter().fold((0, 0), |(asked, got), it| (asked + it.asked, got + it.got));
        let (asked, got) = sum(&took[..others]);
        let (_, rest) = sum(&took[others..]);
        (got as f64 / asked.max(1) as f64, rest as f64 * 1_000.0 / RUN_MS as f64)
    })
}

fn print(what: &str, operation: Operation, [with, without]: [(f64, f64); 2]) {
    println!(
        "{what}, {}: others keep {:.2} % (without the policy {:.2} %), the rest gets {:.0}/s ({:.0}/s)",
        operation.as_str(),
        100.0 * with.0,
        100.0 * without.0,
        with.1,
        without.1
    );
}

#[test]
fn beside_a_giant_others_keep_98_percent() {
    for (others, load) in [(99, 0.8), (99, 0.95), (19, 0.8), (999, 0.8)] {
        let share = f64::from(CAPACITY) / f64::from(others + 1);
        let crowd = Crowd::apart(others, load * share).and_giant(50.0 * share);
        for operation in KINDS {
            let figures = run(operation, &crowd, others as usize);
            print(
                &format!("{others} others at {load} of their share, a giant at 50 shares"),
                operation,
                figures,
            );
            assert!(figures[0].0 >= 0.98, "{figures:?}");
        }
    }
}

#[test]
fn beside_a_thousand_ids_of_one_network_others_keep_95_percent() {
    let share = f64::from(CAPACITY) / 101.0;
    let crowd = Crowd::apart(100, 0.8 * share).and_network(1_000, share);
    for operation in KINDS {
        let figures = run(operation, &crowd, 100);
        print("100 others at 0.8 of their share, 1,000 ids of one /24 at a share each", operation, figures);
        assert!(figures[0].0 >= 0.95, "{figures:?}");
    }
}

#[test]
fn a_giant_gets_what_nobody_else_wants() {
    for load in [0.0, 0.3, 0.8] {
        let share = f64::from(CAPACITY) / 100.0;
        let crowd = Crowd::apart(99, load * share).and_giant(3.0 * f64::from(CAPACITY));
        for operation in KINDS {
            let figures = run(operation, &crowd, 99);
            print(
                &format!("99 others at {load} of their share, a giant at 3 times the store"),
                operation,
                figures,
            );
            let left = f64::from(CAPACITY) * (1.0 - 0.99 * load);
            assert!(figures[0].1 >= 0.9 * left, "{figures:?} of {left}");
        }
    }
}

#[test]
fn without_pressure_nobody_is_limited() {
    let crowd = Crowd::apart(10, 50.0).and_giant(0.9 * f64::from(CAPACITY));
    for operation in KINDS {
        let [with, without] = run(operation, &crowd, 0);
        assert_eq!(with, without, "{}", operation.as_str());
    }
}

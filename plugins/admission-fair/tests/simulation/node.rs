//! A model of a node before a store, in steps of a millisecond.

use hydra_admission_fair::Fair;
use hydra_api::admission::Level;
use hydra_api::{AdmissionPolicy, Load, Operation, Outcome, PeerId, Request, Rung, Token, Verdict};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

const QUEUE_MAX: u32 = 65_536;
const LINE_MAX: u32 = 1_024;
/// For how long a read waits, in steps.
const WAIT: u64 = 20;
const NO_PERMIT: Outcome = Outcome::NoPermit { took: Duration::from_millis(WAIT) };

/// A peer that asks at random moments.
#[derive(Clone)]
pub(crate) struct Source {
    peer: PeerId,
    address: IpAddr,
    per_ms: f64,
}

impl Source {
    pub(crate) fn new(number: u32, address: u32, per_s: f64) -> Self {
        let mut bytes = [7; 38];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        let peer = PeerId::new(&bytes).unwrap();
        Self { peer, address: Ipv4Addr::from_bits(address).into(), per_ms: per_s / 1_000.0 }
    }
}

/// A read that waits: whose, since when, and the token of its judgement.
#[derive(Clone, Copy)]
struct Waiting {
    index: usize,
    since: u64,
    token: Token,
}

/// What a source asked for and what it got.
#[derive(Clone, Copy, Default)]
pub(crate) struct Took {
    pub(crate) asked: u64,
    pub(crate) got: u64,
}

pub(crate) struct Node {
    policy: Option<Fair>,
    per_ms: f64,
    chance: u64,
    queue: f64,
    /// Reads that wait, newest last.
    line: Vec<Waiting>,
    places: f64,
    /// The rung that the node takes by itself, and since when it is calm.
    rung: Rung,
    calm_ms: u64,
    /// Reads since the last half of a second, and in the one before.
    window: Window,
    before: Window,
}

#[derive(Clone, Copy, Default)]
struct Window {
    wanted: u64,
    denied: u64,
}

impl Node {
    pub(crate) fn new(per_s: u32, policy: Option<Fair>) -> Self {
        let per_ms = f64::from(per_s) / 1_000.0;
        Self {
            policy,
            per_ms,
            chance: 42,
            queue: 0.0,
            line: Vec::new(),
            places: 0.0,
            rung: Rung::Full,
            calm_ms: 0,
            window: Window::default(),
            before: Window::default(),
        }
    }

    pub(crate) fn run(mut self, operation: Operation, sources: &[Source], run_ms: u64) -> Vec<Took> {
        let (start, mut took) = (Instant::now(), vec![Took::default(); sources.len()]);
        // Each request comes from a source at random, from the busy ones more often.
        let sums: Vec<f64> = sources
            .iter()
            .scan(0.0, |sum, source| {
                *sum += source.per_ms;
                Some(*sum)
            })
            .collect();
        let all = sums.last().copied().unwrap_or_default();
        for ms in 0..run_ms {
            for _ in 0..self.arrivals(all) {
                let at = self.random() * all;
                let index = sums.partition_point(|sum| *sum <= at).min(sources.len() - 1);
                took[index].asked += 1;
                let now = start + Duration::from_millis(ms);
                if self.ask(operation, &sources[index], index, ms, now) {
                    took[index].got += 1;
                }
            }
            self.serve(sources, ms, start + Duration::from_millis(ms), &mut took);
        }
        took
    }

    /// Whether a write was taken. What becomes of a read shows later.
    fn ask(&mut self, operation: Operation, source: &Source, index: usize, ms: u64, now: Instant) -> bool {
        let load = self.load();
        let request = Request::new(operation, source.peer, Some(source.address), 0, b"key");
        let judgement = self.policy.as_ref().map(|it| it.admit(&request, &load, now));
        let (verdict, token) = judgement.map_or((Verdict::Admit, Token(0)), |it| (it.verdict, it.token));
        let rung = match verdict {
            Verdict::Admit => self.rung,
            Verdict::Degrade(rung) => rung.max(self.rung),
            Verdict::Decline(_) => return false,
        };
        if operation == Operation::AddProvider {
            return self.take(rung);
        }
        let waits = match rung {
            Rung::Full | Rung::Short => self.line.len() < LINE_MAX as usize,
            // It takes a place that nobody else wants.
            Rung::Stale => (self.line.len() as f64) < self.places,
            _ => return false,
        };
        self.window.wanted += 1;
        let waiting = Waiting { index, since: ms, token };
        if waits {
            self.line.push(waiting);
        } else if rung == Rung::Stale {
            // Its key is left to a later call: the node does not count it as denied.
            self.settle(source, &waiting, &NO_PERMIT, now);
        } else {
            self.deny(source, &waiting, now);
        }
        false
    }

    /// Two of three announcements repeat one that is known: of a degraded source, or on the rung "stale", they are
    /// skipped, which counts as a loss here.
    fn take(&mut self, rung: Rung) -> bool {
        let repeats = self.random() < 2.0 / 3.0;
        if (rung >= Rung::Stale && repeats) || self.queue + 1.0 > f64::from(QUEUE_MAX) {
            return false;
        }
        // As `queue-depth` has it by default.
        if self.queue >= 0.9 * f64::from(QUEUE_MAX) {
            return false;
        }
        self.queue += 1.0;
        true
    }

    fn serve(&mut self, sources: &[Source], ms: u64, now: Instant, took: &mut [Took]) {
        self.queue = (self.queue - self.per_ms).max(0.0);
        let (waits, late): (Vec<_>, Vec<_>) = self.line.iter().copied().partition(|it| ms - it.since < WAIT);
        self.line = waits;
        late.iter().for_each(|it| self.deny(&sources[it.index], it, now));
        self.places = (self.places + self.per_ms).min(8.0 * self.per_ms);
        while self.places >= 1.0
            && let Some(read) = self.line.pop()
        {
            self.places -= 1.0;
            took[read.index].got += 1;
            let answered = Outcome::Served { rung: self.rung, took: Duration::from_millis(1) };
            self.settle(&sources[read.index], &read, &answered, now);
        }
        if ms.is_multiple_of(500) {
            self.before = std::mem::take(&mut self.window);
        }
        self.step();
    }

    fn deny(&mut self, source: &Source, read: &Waiting, now: Instant) {
        self.window.denied += 1;
        self.settle(source, read, &NO_PERMIT, now);
    }

    fn settle(&self, source: &Source, read: &Waiting, outcome: &Outcome, now: Instant) {
        let request = Request::new(Operation::GetProviders, source.peer, Some(source.address), 0, b"key");
        if let Some(policy) = &self.policy {
            policy.settle(&request, read.token, outcome, now);
        }
    }

    /// The node's own ladder: short and stale by how full its queues are, and by how many reads get no permit in
    /// time; a second of calm before it recovers.
    fn step(&mut self) {
        let load = self.load();
        let percent = load.write_queue.percent().max(load.waiting.percent());
        let window = &self.before;
        let denied = if window.denied < 16 { 0 } else { window.denied * 100 / window.wanted.max(1) };
        let wanted = match (percent, denied) {
            (85.., _) | (_, 50..) => Rung::Stale,
            (50.., _) | (_, 10..) => Rung::Short,
            _ => Rung::Full,
        };
        if wanted >= self.rung {
            (self.rung, self.calm_ms) = (wanted, 0);
        } else {
            self.calm_ms += 1;
            if self.calm_ms >= 1_000 {
                (self.rung, self.calm_ms) = (wanted, 0);
            }
        }
    }

    fn load(&self) -> Load {
        let write_queue = Level { used: self.queue as u32, max: QUEUE_MAX };
        let waiting = Level { used: self.line.len() as u32, max: LINE_MAX };
        Load::new(write_queue, waiting, Level { used: 3, max: 3 }, self.rung)
    }

    /// As many as come in a step at random (Poisson).
    fn arrivals(&mut self, mean: f64) -> u32 {
        if mean <= 0.0 {
            return 0;
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.random(), 0);
        while product > limit {
            product *= self.random();
            count += 1;
        }
        count
    }

    fn random(&mut self) -> f64 {
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 11) as f64 / (1_u64 << 53) as f64
    }
}
